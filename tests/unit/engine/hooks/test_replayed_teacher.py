# Copyright (c) mmdckd contributors. All rights reserved.
"""The teacher's logits of any pipeline, kept by one run and found by others."""

import copy
import os

import pytest
import torch
from mmengine.runner import Runner

from helpers.networks import network
from helpers.resumed import end_workers, interrupted
from helpers.runs import loader, run_config

PIPELINE = [
    dict(type='RandomResizedCrop', scale=12, crop_ratio_range=(0.5, 1.0)),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
    ),
    dict(type='PackInputs'),
]
MIX = dict(augments=[dict(type='Mixup', alpha=1.0), dict(type='CutMix', alpha=1.0)])


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    """The weights of a teacher, so that every run has the same."""
    from mmdckd.models.networks import build_network, resolve_network

    torch.manual_seed(3)
    model = build_network(resolve_network(network(18, width=8), 'teacher'))
    model.init_weights()
    path = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    torch.save(model.state_dict(), path)
    return str(path)


def config(tmp_path, teacher, cached=True, epochs=2, mix=None, **options):
    hook = dict(
        type='mmdckd.TeacherCacheHook', folder=str(tmp_path / 'logits'), **options
    )
    cfg = run_config(
        tmp_path,
        custom_hooks=[hook] if cached else [],
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
        train_cfg=dict(by_epoch=True, max_epochs=epochs),
        default_hooks=dict(
            exact_resume=dict(type='mmdckd.ExactResumeHook'),
            checkpoint=dict(
                type='mmdckd.CohortCheckpointHook', by_epoch=False, interval=2
            ),
        ),
    )
    cfg.model.teacher = dict(network(18, width=8), pretrained=teacher)
    cfg.train_dataloader = loader('train', indices=72)
    cfg.train_dataloader.dataset.pipeline = copy.deepcopy(PIPELINE)
    if mix:
        cfg.data_preprocessor.batch_augments = copy.deepcopy(mix)
    return cfg


def train(cfg):
    """Train; returns the weights and how many batches the teacher has seen."""
    runner = Runner.from_cfg(cfg)
    seen = []
    runner.model.teachers[0].model.register_forward_pre_hook(
        lambda module, args: seen.append(len(args[0]))
    )
    runner.train()
    end_workers(runner)
    return runner.model.state_dict(), seen


def equal(one, other):
    return all(torch.equal(one[key], other[key]) for key in other)


# The hook has two images said for the number of classes; each run of 72
# images has batches of 32, 32 and 8, and compares its first one.
FIRST, FOUND = [2, *[32, 32, 8] * 2], [2, 32]


@pytest.mark.parametrize('mix', [None, MIX])
def test_exact_in_float32(tmp_path, teacher, mix):
    plain, seen = train(config(tmp_path, teacher, cached=False, mix=mix))
    assert seen == FIRST[1:]
    first, seen = train(config(tmp_path, teacher, mix=mix, dtype='float32'))
    assert seen == FIRST and equal(first, plain)
    again, seen = train(config(tmp_path, teacher, mix=mix, dtype='float32'))
    assert seen == FOUND and equal(again, plain)


def test_workers_make_the_same_views(tmp_path, teacher):
    first, _ = train(config(tmp_path, teacher))
    cfg = config(tmp_path, teacher)
    cfg.train_dataloader.update(num_workers=2, persistent_workers=True)
    again, seen = train(cfg)
    assert seen == FOUND and equal(again, first)


def test_a_resumed_run_is_the_same(tmp_path, teacher):
    whole, _ = train(config(tmp_path / 'whole', teacher))
    cfg = config(tmp_path, teacher)
    interrupted(cfg, 'iter', 5)
    cfg.resume = True
    cfg.experiment_name += '_resumed'
    resumed, seen = train(cfg)
    # Of the second epoch's batches, one was computed before.
    assert seen == [2, 32, 8] and equal(resumed, whole)


def test_another_seed_has_other_files(tmp_path, teacher):
    train(config(tmp_path, teacher))
    cfg = config(tmp_path, teacher)
    cfg.randomness.seed = 2
    assert train(cfg)[1] == FIRST
    assert len(list((tmp_path / 'logits').glob('*/'))) == 2


def test_the_first_passes_again(tmp_path, teacher):
    run = config(tmp_path, teacher, epochs=3)
    run.custom_hooks[0].epochs = 1
    _, seen = train(run)
    assert seen == [2, 32, 32, 8, 32]
    assert len(list((tmp_path / 'logits').glob('*/*.logits'))) == 1


def test_damaged_entries_are_computed_anew(tmp_path, teacher):
    first, _ = train(config(tmp_path, teacher))
    path = tmp_path / 'logits'
    (path,) = path.glob('*/0-0.logits')
    whole = path.read_bytes()
    content = bytearray(whole)
    content[len(content) // 96 * 40 + 20] ^= 4  # in the second batch
    path.write_bytes(content)
    again, seen = train(config(tmp_path, teacher))
    assert seen == [2, 32, 32] and equal(again, first)
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-5])
    again, seen = train(config(tmp_path, teacher))
    assert seen == [2, 32, 32, 8, 32] and equal(again, first)
    assert path.read_bytes() == whole


def test_a_bound_on_bytes(tmp_path, teacher):
    first, _ = train(config(tmp_path / 'other', teacher))
    # 96 places of 12 bytes and 10 float16.
    again, seen = train(config(tmp_path, teacher, max_bytes=96 * 32))
    assert seen == FIRST and equal(again, first)
    again, seen = train(config(tmp_path, teacher, max_bytes=96 * 32))
    assert seen == [2, 32, 32, 32, 8] and equal(again, first)
    folder = tmp_path / 'logits'
    assert sum(p.stat().st_size for p in folder.glob('*/*')) == 96 * 32


def test_a_full_disk_does_not_end_a_run(tmp_path, teacher, monkeypatch):
    from mmdckd.models.teachers.record_file import RecordFile

    first, _ = train(config(tmp_path / 'other', teacher))

    def full(self, *args):
        raise OSError(28, os.strerror(28), self.path)

    monkeypatch.setattr(RecordFile, 'write', full)
    again, seen = train(config(tmp_path, teacher))
    assert seen == FIRST and equal(again, first)


def test_a_folder_that_cannot_be_made(tmp_path, teacher):
    (tmp_path / 'logits').write_text('a file')
    _, seen = train(config(tmp_path, teacher))
    assert seen == FIRST


def test_logits_of_another_teacher_are_found_out(tmp_path, teacher, monkeypatch):
    """Even if they had its key."""
    from mmdckd.engine.teacher_cache import replayed_views
    from mmdckd.models.teachers.logits_cache import hash_of

    monkeypatch.setattr(replayed_views, 'hash_of', lambda *parts: hash_of('same'))
    train(config(tmp_path, teacher))
    state = torch.load(teacher, weights_only=True)
    state['head.fc.bias'] += 1
    torch.save(state, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='differ by.*Remove the folder'):
        train(config(tmp_path, str(tmp_path / 'other.pth')))


def test_other_views_of_the_same_key_are_not_used(tmp_path, teacher, monkeypatch):
    from mmdckd.engine.teacher_cache import replayed_views
    from mmdckd.models.teachers.logits_cache import hash_of

    monkeypatch.setattr(replayed_views, 'hash_of', lambda *parts: hash_of('same'))
    train(config(tmp_path, teacher))
    cfg = config(tmp_path, teacher)
    cfg.train_dataloader.dataset.pipeline[1].prob = 0.4
    _, seen = train(cfg)
    assert seen == FIRST


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(dtype='float64'), "dtype`: expected 'float16' or 'float32'"),
        (dict(top_k=0), 'top_k`: expected a positive integer, got 0'),
        (dict(epochs=1, mix=MIX), 'epochs`: expected None with mixup or CutMix'),
    ],
)
def test_options_that_cannot_be(tmp_path, teacher, options, message):
    cfg = config(tmp_path, teacher, mix=options.pop('mix', None))
    cfg.custom_hooks[0].update(options)
    with pytest.raises(ValueError, match=message):
        train(cfg)


def test_it_needs_exact_resume(tmp_path, teacher):
    cfg = config(tmp_path, teacher)
    del cfg.default_hooks['exact_resume']
    with pytest.raises(ValueError, match='default_hooks`: expected `exact_resume'):
        train(cfg)
