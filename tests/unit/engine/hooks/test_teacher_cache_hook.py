# Copyright (c) mmdckd contributors. All rights reserved.
import copy
import shutil

import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from helpers.networks import shallow
from helpers.runs import DISTILLER, loader, run_config

PIPELINE = [
    dict(type='Resize', scale=12),
    dict(type='mmdckd.EnumeratedCropFlip', padding=1),
    dict(type='PackInputs', meta_keys=('sample_idx', 'view')),
]


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    """The weights of a teacher, so that every run has the same."""
    from mmdckd.models.networks import build_network, resolve_network

    torch.manual_seed(3)
    model = build_network(resolve_network(shallow(width=8), 'teacher'))
    model.init_weights()
    path = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    torch.save(model.state_dict(), path)
    return str(path)


def config(tmp_path, teacher, cached=True, pipeline=PIPELINE, **cohort):
    hook = dict(type='mmdckd.TeacherCacheHook', folder=str(tmp_path / 'logits'))
    cfg = run_config(
        tmp_path,
        dict(dict(architecture=shallow(), num_students=2), **cohort),
        custom_hooks=[hook] if cached else [],
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
        train_cfg=dict(by_epoch=True, max_epochs=1),
        default_hooks=dict(exact_resume=dict(type='mmdckd.ExactResumeHook')),
    )
    cfg.model.teacher = dict(shallow(width=8), pretrained=teacher)
    cfg.train_dataloader = loader('train', indices=48)
    cfg.train_dataloader.dataset.pipeline = copy.deepcopy(pipeline)
    return cfg


def train(cfg):
    """Train; returns the runner and how many images the teacher has seen."""
    runner = Runner.from_cfg(cfg)
    seen = []
    runner.model.teachers[0].model.register_forward_pre_hook(
        lambda module, args: seen.append(len(args[0]))
    )
    runner.train()
    return runner, sum(seen)


def test_the_teacher_looks_once_at_every_view(tmp_path, teacher):
    """And one batch more in every run, with which the lookup is compared."""
    first, seen = train(config(tmp_path, teacher))
    assert seen == 1 + 48 * 18 + 32
    again, seen = train(config(tmp_path, teacher))
    assert seen == 1 + 32
    states = [runner.model.state_dict() for runner in (first, again)]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])


def test_a_run_is_what_it_is_without_but_for_the_rounding(tmp_path, teacher):
    cached, _ = train(config(tmp_path, teacher))
    plain, seen = train(config(tmp_path, teacher, cached=False))
    assert seen == 48
    for p, q in zip(cached.model.parameters(), plain.model.parameters()):
        torch.testing.assert_close(p, q, rtol=1e-2, atol=1e-3)
    assert cached.model.state_dict().keys() == plain.model.state_dict().keys()


def test_all_parts_of_a_dataset_share_a_file(tmp_path, teacher):
    def blind(fold):
        cfg = config(tmp_path, teacher)
        cfg.train_dataloader.dataset.indices = 300
        cfg.train_dataloader.dataset = dict(
            type='RepeatDataset',
            times=1,
            dataset=dict(
                type='mmdckd.WithoutFold',
                dataset=cfg.train_dataloader.dataset,
                num_folds=2,
                fold=fold,
            ),
        )
        return cfg

    assert train(config(tmp_path / 'whole', teacher))[1] == 1 + 48 * 18 + 32
    assert train(blind(0))[1] == 1 + 300 * 18 + 32
    for fold in (1, None):
        assert train(blind(fold))[1] == 1 + 32


def test_a_damaged_file_is_built_anew(tmp_path, teacher):
    train(config(tmp_path, teacher))
    (path,) = (tmp_path / 'logits').glob('*.npy')
    content = bytearray(path.read_bytes())
    whole = bytes(content)
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    _, seen = train(config(tmp_path, teacher))
    assert seen > 48 * 18 and path.read_bytes() == whole


def test_a_stale_file_is_not_used(tmp_path, teacher):
    """Other weights, images, views or preprocessing: another file."""
    train(config(tmp_path, teacher))
    files = lambda: len(list((tmp_path / 'logits').glob('*.npy')))  # noqa
    assert files() == 1
    state = torch.load(teacher, weights_only=True)
    state['head.fc.bias'][0] += 1e-6
    torch.save(state, tmp_path / 'other.pth')
    train(config(tmp_path, str(tmp_path / 'other.pth')))
    assert files() == 2
    fewer = config(tmp_path, teacher)
    fewer.train_dataloader.dataset.indices = 40
    train(fewer)
    assert files() == 3
    pipeline = copy.deepcopy(PIPELINE)
    pipeline[1]['flip'] = False
    train(config(tmp_path, teacher, pipeline=pipeline))
    assert files() == 4
    brighter = config(tmp_path, teacher)
    brighter.data_preprocessor.mean = [61.0, 80.0, 100.0]
    train(brighter)
    assert files() == 5


def test_losses_that_learn_from_the_teacher_alone_take_it(tmp_path, teacher):
    """With averaged weights, whose statistics are measured without it."""
    losses = {
        f'loss_{name}': dict(type=f'mmdckd.{name}')
        for name in ('MLKDLoss', 'WKDLoss', 'CohortDKDLoss', 'CohortDISTLoss')
    }
    cfg = config(tmp_path, teacher, distiller=dict(DISTILLER, collective_losses=losses))
    cfg.custom_hooks.append(dict(type='mmdckd.WeightAverageHook'))
    runner, seen = train(cfg)
    # As with any loss: each of 48 images in 18 views, and for the checks one
    # image and a batch.
    assert seen == 1 + 48 * 18 + 32
    scalars = runner.message_hub.log_scalars
    for name in losses:
        assert any(f'student1.{name}.' in key for key in scalars)


@pytest.mark.parametrize('taught', [True, False])
def test_finished_peers_are_looked_up_too(tmp_path, teacher, taught):
    loss = dict(type='mmdckd.DCKDLoss', alpha=float(taught), gamma=0.0)
    options = dict(
        num_students=1,
        distiller=dict(DISTILLER, collective_losses=dict(loss_dckd=loss)),
        finished_peers=[dict(shallow(width=8), pretrained=teacher)] * 2,
    )
    runs = []
    for cached in (True, False):
        cfg = config(tmp_path, teacher, cached, **options)
        if not taught:
            cfg.model.teacher = None
        runner = Runner.from_cfg(cfg)
        seen = []
        for peer in runner.model.finished_peers.networks.values():
            peer.model.register_forward_pre_hook(
                lambda module, args, seen=seen: seen.append(len(args[0]))
            )
        runner.train()
        runs.append((runner, sum(seen)))
    (cached, seen), (plain, seen_plain) = runs
    # The second peer is the first, as is a teacher of these weights: one file.
    assert seen_plain == 2 * 48
    assert seen == 2 * (1 + 32) + (0 if taught else 48 * 18)
    for p, q in zip(cached.model.parameters(), plain.model.parameters()):
        torch.testing.assert_close(p, q, rtol=1e-2, atol=1e-3)


def test_something_random_beside_the_views_is_found(tmp_path, teacher):
    pipeline = copy.deepcopy(PIPELINE)
    pipeline.insert(2, dict(type='RandomErasing', erase_prob=1.0))
    with pytest.raises(ValueError, match='something random'):
        np.random.seed(0)
        train(config(tmp_path, teacher, pipeline=pipeline))


@pytest.mark.parametrize(
    'change, message',
    [
        (
            dict(pipeline=[*PIPELINE[:2], dict(type='PackInputs')]),
            'expected `view`.*meta_keys',
        ),
        (
            dict(
                distiller=dict(
                    DISTILLER,
                    collective_losses=dict(
                        loss_dckd=dict(type='mmdckd.DCKDLoss', alpha=0.0)
                    ),
                )
            ),
            'expected a collective loss that learns from',
        ),
        (
            dict(
                distiller=dict(
                    DISTILLER,
                    teacher_recorders=dict(
                        neck=dict(type='ModuleOutputs', source='neck')
                    ),
                )
            ),
            'distiller.teacher_recorders',
        ),
        (dict(views='independent'), 'independent'),
    ],
)
def test_what_it_does_not_go_with(tmp_path, teacher, change, message):
    with pytest.raises(ValueError, match=message):
        train(config(tmp_path, teacher, **change))


@pytest.mark.parametrize('damage', ['full', 'a file'])
def test_a_run_without_room_for_the_views(tmp_path, teacher, monkeypatch, damage):
    """It is the run without the hook, and says so."""
    if damage == 'full':
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage._replace(free=9))
    else:
        (tmp_path / 'logits').write_text('not a folder')
    runner, seen = train(config(tmp_path, teacher))
    plain, _ = train(config(tmp_path, teacher, cached=False))
    assert seen == 1 + 48
    weights = runner.model.state_dict()
    assert all(torch.equal(weights[k], v) for k, v in plain.model.state_dict().items())
    (log,) = tmp_path.glob(f'{runner.experiment_name.split("_")[0]}/**/*.log')
    assert 'Training continues without it' in log.read_text()


@pytest.mark.parametrize('option', [dict(top_k=3), dict(epochs=2)])
def test_enumerated_views_have_no_such_option(tmp_path, teacher, option):
    cfg = config(tmp_path, teacher)
    cfg.custom_hooks[0].update(option)
    with pytest.raises(ValueError, match='with `mmdckd.EnumeratedCropFlip`'):
        train(cfg)
