# Copyright (c) mmdckd contributors. All rights reserved.
"""A teacher's logits of random views, stored by one run and found by others."""

import pytest
import torch
from mmengine.runner import Runner

from helpers.cached_teacher import (
    FIRST,
    FOUND,
    MIX,
    TEACHER,
    config,
    equal,
    save_teacher,
    train,
)
from helpers.resumed import end_workers, interrupted
from helpers.runs import DISTILLER
from mmdckd.engine.hooks import TeacherCacheHook


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    return save_teacher(tmp_path_factory.mktemp('teacher'))


@pytest.mark.parametrize('mix', [None, MIX])
def test_exact_in_float32(tmp_path, teacher, mix):
    plain, seen = train(config(tmp_path, teacher, cached=False, mix=mix))
    assert seen == FIRST[1:]
    first, seen = train(config(tmp_path, teacher, mix=mix, dtype='float32'))
    assert seen == FIRST and equal(first, plain)
    again, seen = train(config(tmp_path, teacher, mix=mix, dtype='float32'))
    assert seen == FOUND and equal(again, plain)


@pytest.mark.parametrize('first', [None, MIX])
def test_batches_that_are_mixed_differently_later(tmp_path, teacher, first):
    weaker = dict(augments=[dict(type='Mixup', alpha=0.05)])

    def run(cached, switched):
        cfg = config(tmp_path, teacher, cached, mix=first)
        if cached:
            cfg.custom_hooks[0].dtype = 'float32'
        if switched:
            schedule = [dict(action_epoch=2, batch_augments=weaker)]
            switch = dict(type='SwitchRecipeHook', schedule=schedule)
            cfg.custom_hooks = [switch, *cfg.custom_hooks]
        return train(cfg)

    plain, _ = run(cached=False, switched=True)
    run(cached=True, switched=False)
    found, seen = run(cached=True, switched=True)
    # Those of the first epoch are found; one batch of these is compared.
    assert seen == [2, 8, 8, 8, 4] and equal(found, plain)
    again, seen = run(cached=True, switched=True)
    assert seen == FOUND and equal(again, plain)


def test_workers_make_the_same_views(tmp_path, teacher):
    first, _ = train(config(tmp_path, teacher))
    cfg = config(tmp_path, teacher)
    cfg.train_dataloader.update(num_workers=2, persistent_workers=True)
    again, seen = train(cfg)
    assert seen == FOUND and equal(again, first)


def test_a_resumed_run_is_the_same(tmp_path, teacher):
    whole, _ = train(config(tmp_path / 'whole', teacher))
    cfg = config(tmp_path, teacher, save=2)
    interrupted(cfg, 'iter', 5)
    cfg.resume = True
    cfg.experiment_name += '_resumed'
    resumed, seen = train(cfg)
    # Of the second epoch's batches, one was computed before.
    assert seen == [2, 8, 4] and equal(resumed, whole)


def test_another_seed_has_other_files(tmp_path, teacher):
    train(config(tmp_path, teacher))
    cfg = config(tmp_path, teacher)
    cfg.randomness.seed = 2
    assert train(cfg)[1] == FIRST
    assert len(list((tmp_path / 'logits').glob('*/'))) == 2


def key_of(cfg):
    """The name of the folder of a run, before its first step."""
    runner = Runner.from_cfg(cfg)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    runner.optim_wrapper = runner.build_optim_wrapper(runner.optim_wrapper)
    runner.call_hook('before_run')
    (hook,) = [each for each in runner.hooks if isinstance(each, TeacherCacheHook)]
    hook.before_train(runner)
    return runner.model.teacher_pass.cache.key


def test_what_logits_depend_on_is_in_the_name_of_the_folder(tmp_path, teacher):
    """A difference that the check of the first logits would not notice."""
    state = torch.load(teacher, weights_only=True)
    state['head.fc.bias'][0] += 1e-6
    other = str(tmp_path / 'other.pth')
    torch.save(state, other)
    changes = [
        {},
        {'model.teacher.pretrained': other},
        {'data_preprocessor.mean': [60.0, 80.0, 100.1]},
        {'train_dataloader.dataset.indices': 19},
        {'optim_wrapper.type': 'mmdckd.CPUAmpOptimWrapper'},
        {'model.channels_last': True},
        {'randomness.seed': 2},
    ]
    keys = []
    for change in [*changes, {}]:
        cfg = config(tmp_path, teacher)
        cfg.merge_from_dict(change)
        keys.append(key_of(cfg))
    assert keys[0] == keys.pop() and len(set(keys)) == len(changes)


@pytest.mark.parametrize('several', [True, False])
def test_it_needs_one_teacher_that_is_frozen(tmp_path, teacher, several):
    cfg = config(tmp_path, teacher)
    if several:
        cfg.model.teacher = [cfg.model.teacher] * 2
    else:
        cfg.model.teacher_trainable = True
    with pytest.raises(ValueError, match='Invalid `model`: .* with one frozen `teach'):
        train(cfg)


def test_the_first_passes_again(tmp_path, teacher):
    run = config(tmp_path, teacher, epochs=3)
    run.custom_hooks[0].epochs = 1
    _, seen = train(run)
    assert seen == [2, 8, 8, 4, 8]
    assert len(list((tmp_path / 'logits').glob('*/*.logits'))) == 1
    # They are those of a run that does not repeat them.
    _, seen = train(config(tmp_path, teacher))
    assert seen == [2, 8, 8, 8, 4]


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(dtype='float64'), "dtype`: expected 'float16' or 'float32'"),
        (dict(top_k=0), 'top_k`: expected a positive integer, got 0'),
        (dict(max_bytes=None), 'max_bytes`: expected a positive integer, got None'),
        (dict(epochs=1, mix=MIX), 'epochs`: expected None with mixup or CutMix'),
    ],
)
def test_options_that_cannot_be(tmp_path, teacher, options, message):
    cfg = config(tmp_path, teacher, mix=options.pop('mix', None))
    cfg.custom_hooks[0].update(options)
    with pytest.raises(ValueError, match=message):
        train(cfg)


def test_largest_logits_are_for_a_softmax(tmp_path, teacher):
    cfg = config(tmp_path, teacher, top_k=3)
    cfg.model.task = 'multi_label'
    with pytest.raises(ValueError, match='top_k`: expected None for a multi_label'):
        train(cfg)


def test_it_needs_exact_resume(tmp_path, teacher):
    cfg = config(tmp_path, teacher)
    del cfg.default_hooks['exact_resume']
    with pytest.raises(ValueError, match='default_hooks`: expected `exact_resume'):
        train(cfg)


def test_the_largest_logits_alone(tmp_path, teacher):
    first, seen = train(config(tmp_path, teacher, top_k=3))
    assert seen == FIRST
    again, seen = train(config(tmp_path, teacher, top_k=3))
    assert seen == FOUND and equal(again, first)
    whole, seen = train(config(tmp_path, teacher))
    assert seen == FIRST and not equal(whole, first)
    sizes = [path.stat().st_size for path in (tmp_path / 'logits').glob('*/0-0.logits')]
    # 24 places of 12 bytes, and 3 x (2 + 2) + 4 bytes or 10 x 2 bytes.
    assert sorted(sizes) == [24 * 28, 24 * 32]


def test_a_run_by_iterations(tmp_path, teacher):
    def by_iteration():
        cfg = config(tmp_path, teacher)
        cfg.train_cfg = dict(by_epoch=False, max_iters=5)
        cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
        return cfg

    first, seen = train(by_iteration())
    assert seen == [2, *[8] * 5]
    again, seen = train(by_iteration())
    assert seen == FOUND and equal(again, first)


@pytest.mark.parametrize('taught', [True, False])
def test_finished_peers_are_looked_up_too(tmp_path, teacher, taught):
    def run(cached):
        cfg = config(tmp_path, teacher, cached)
        peer = dict(TEACHER, pretrained=teacher)
        loss = dict(type='mmdckd.DCKDLoss', alpha=float(taught), gamma=0.0)
        cfg.model.update(
            num_students=1,
            finished_peers=[peer],
            distiller=dict(DISTILLER, collective_losses=dict(loss_dckd=loss)),
        )
        if not taught:
            cfg.model.teacher = None
        if cached:
            cfg.custom_hooks[0].dtype = 'float32'
        runner = Runner.from_cfg(cfg)
        seen = []
        (peer,) = runner.model.finished_peers.networks.values()
        peer.model.register_forward_pre_hook(
            lambda module, args: seen.append(len(args[0]))
        )
        runner.train()
        return runner.model.state_dict(), seen

    plain, _ = run(False)
    first, seen = run(True)
    # The peer is the teacher: where there is one, both share a file.
    assert seen == FIRST and equal(first, plain)
    again, seen = run(True)
    assert seen == FOUND and equal(again, plain)


def test_repeated_passes_show_the_same_images(tmp_path, teacher):
    """Also in a run that is resumed among them."""

    def images(runner):
        seen = []
        runner.model.data_preprocessor.register_forward_hook(
            lambda module, args, output: seen.append(output['inputs'].clone())
        )
        runner.train()
        end_workers(runner)
        return seen[-9:]

    def three():
        cfg = config(tmp_path, teacher, epochs=3, save=2)
        cfg.custom_hooks[0].epochs = 2
        return cfg

    whole = images(Runner.from_cfg(three()))
    assert all(map(torch.equal, whole[:3], whole[6:]))
    assert not any(map(torch.equal, whole[:3], whole[3:6]))
    cfg = three()
    interrupted(cfg, 'iter', 7)
    cfg.resume = True
    cfg.experiment_name += '_resumed'
    resumed = images(Runner.from_cfg(cfg))[-3:]
    assert all(map(torch.equal, resumed, whole[6:]))
