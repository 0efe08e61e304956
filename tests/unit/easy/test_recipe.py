# Copyright (c) mmdckd contributors. All rights reserved.
from dataclasses import fields

import pytest

from mmdckd.easy.recipe import choose_recipe, choose_students
from mmdckd.easy.source import Source


def source(num_train=160, short_side=32):
    return Source('x', {}, {}, None, ['a', 'b'], {}, short_side, num_train)


def reason(recipe, name):
    (line,) = [line for line in recipe.reasons if line.startswith(f'{name} = ')]
    return line


def test_what_is_chosen_has_a_reason():
    recipe = choose_recipe(source())
    for setting in fields(recipe):
        if setting.name not in ('reasons', 'drop_last', 'amp', 'chose_workers'):
            value = getattr(recipe, setting.name)
            assert f' = {value}: ' in reason(recipe, setting.name)
    assert reason(recipe, 'device') and ' = off: ' in reason(recipe, 'amp')


@pytest.mark.parametrize(
    'data, device, expected',
    [
        (
            source(8, 8),
            'cpu',
            dict(batch_size=8, epochs=100, image_size=32, num_workers=0, lr=0.00625),
        ),
        (source(10_000), 'cpu', dict(batch_size=64, epochs=26, augmentation='shift')),
        (source(10_000), 'cuda', dict(batch_size=128, amp=False, lr=0.1)),
        (
            source(10_000, 300),
            'cuda',
            dict(image_size=224, amp=True, augmentation='crop'),
        ),
        (source(200, 300), 'cpu', dict(amp=False, batch_size=25, log_interval=8)),
        (source(17), 'cpu', dict(batch_size=16, drop_last=True)),
        (source(1), 'cpu', dict(batch_size=1, drop_last=False)),
        (source(160, 45), 'cpu', dict(image_size=48)),
    ],
)
def test_what_follows_from_data_and_device(data, device, expected):
    recipe = choose_recipe(data, device=device)
    assert {name: getattr(recipe, name) for name in expected} == expected


def test_more_workers_on_a_gpu():
    cpu, gpu = (
        choose_recipe(source(short_side=300), device=device).num_workers
        for device in ('cpu', 'cuda')
    )
    assert cpu <= 2 <= gpu <= 8 or gpu == 1


def test_the_learning_rate_of_trained_weights_and_of_adamw():
    assert choose_recipe(source(512), device='cpu').lr == 0.05
    assert choose_recipe(source(512), pretrained=True, device='cpu').lr == 0.005
    assert choose_recipe(source(512), optimizer='adamw', device='cpu').lr == 0.0005


def test_what_is_given_stays():
    given = dict(
        image_size=48,
        augmentation='none',
        batch_size=4,
        epochs=3,
        optimizer='adamw',
        lr=0.2,
        warm_up=2,
        amp=True,
        num_workers=5,
        log_interval=7,
    )
    recipe = choose_recipe(source(), **given)
    assert {name: getattr(recipe, name) for name in given} == given
    assert [line.split(' = ')[0] for line in recipe.reasons] == ['device']


def test_the_interval_has_a_reason_that_holds():
    for epochs, reason in ((1, 'a line per step'), (2, 'at least ten lines in 16')):
        reasons = choose_recipe(source(), epochs=epochs).reasons
        assert reason in reasons[-1] and reasons[-1].startswith('log_interval = 1: ')


@pytest.mark.parametrize(
    'name, value',
    [
        ('batch_size', 161),
        ('batch_size', 0),
        ('batch_size', 2.5),
        ('epochs', 0),
        ('image_size', True),
        ('num_workers', -1),
        ('lr', 0),
        ('lr', '0.1'),
        ('lr', True),
        ('lr', float('nan')),
        ('lr', float('inf')),
        ('amp', 'off'),
        ('amp', 0),
        ('optimizer', 'sdg'),
        ('augmentation', 'mirror'),
    ],
)
def test_what_cannot_be(name, value):
    with pytest.raises(ValueError, match=f'Invalid `{name}`: expected'):
        choose_recipe(source(), **{name: value})


def test_it_is_known_who_chose_the_workers():
    assert choose_recipe(source()).chose_workers
    assert not choose_recipe(source(), num_workers=2).chose_workers


@pytest.mark.parametrize(
    'num_labeled, alone, number',
    [(100, False, 4), (5000, False, 4), (5001, False, 1), (5001, True, 4)],
)
def test_how_many_students(num_labeled, alone, number):
    assert choose_students(num_labeled, alone)[0] == number
