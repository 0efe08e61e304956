# Copyright (c) mmdckd contributors. All rights reserved.
"""The teacher's logits from a file, in two processes."""

import copy
import time
from datetime import timedelta

import pytest
from torch.distributed.distributed_c10d import _set_pg_timeout

from helpers.networks import network
from helpers.processes import run_processes
from helpers.runs import run_config
from mmdckd.engine.runner.building import build_runner
from mmdckd.models.teachers.logits_cache import LogitsCache


def run(rank, cfg):
    """Train; tell what the teacher has seen, and the largest weight."""
    runner = build_runner(cfg)
    model = runner.model.module
    seen = []
    model.teachers[0].model.register_forward_pre_hook(
        lambda module, args: seen.append(len(args[0]))
    )
    runner.train()
    weights = [p.abs().max() for p in model.parameters() if not p.is_meta]
    return sum(seen), float(max(weights))


def config(work_dir):
    cfg = run_config(
        work_dir,
        dict(architecture=network(), num_students=2),
        launcher='pytorch',
        custom_hooks=[
            dict(type='mmdckd.TeacherCacheHook', folder=str(work_dir / 'logits'))
        ],
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
        train_cfg=dict(by_epoch=True, max_epochs=1),
    )
    cfg.train_dataloader.batch_size = 8
    cfg.train_dataloader.dataset.indices = 32
    cfg.train_dataloader.dataset.pipeline = [
        dict(type='Resize', scale=12),
        dict(type='mmdckd.EnumeratedCropFlip', padding=1),
        dict(type='PackInputs', meta_keys=('sample_idx', 'view')),
    ]
    return cfg


@pytest.mark.parametrize('parallel', ['data', 'cohort'])
def test_one_process_asks_the_teacher_and_both_look_up(parallel, tmp_path):
    cfg = config(tmp_path)
    cfg.model.parallel = parallel
    cfg.default_hooks.exact_resume = dict(type='mmdckd.ExactResumeHook')
    (first, weight), (second, other) = run_processes(run, cfg)
    # One image tells the shape, and one batch is compared.
    assert first == 1 + 32 * 18 + 8
    assert second == 1 + 8
    assert (weight == other) == (parallel == 'data')
    assert len(list((tmp_path / 'logits').glob('*.npy'))) == 1


def slow(rank, cfg):
    """A run in which the first process takes longer than collectives may."""
    create, look = LogitsCache.create, LogitsCache.open
    limits = iter([timedelta(seconds=1), timedelta(minutes=2)])

    def create_slowly(*args):
        time.sleep(2)
        return create(*args)

    def look_in_a_hurry(*args):
        if rank:
            _set_pg_timeout(next(limits))
        return look(*args)

    LogitsCache.create, LogitsCache.open = create_slowly, look_in_a_hurry
    return run(rank, cfg)[0]


def test_a_process_waits_as_long_as_the_teacher_takes(tmp_path):
    assert run_processes(slow, config(tmp_path)) == [1 + 32 * 18 + 8, 1 + 8]


def random_views(work_dir):
    cfg = config(work_dir)
    cfg.train_cfg.max_epochs = 2
    cfg.train_dataloader.dataset.indices = 27  # 14 for each process, one twice
    cfg.train_dataloader.dataset.pipeline = [
        dict(type='RandomResizedCrop', scale=12),
        dict(type='PackInputs'),
    ]
    cfg.default_hooks.exact_resume = dict(type='mmdckd.ExactResumeHook')
    cfg.custom_hooks[0].dtype = 'float32'
    return cfg


@pytest.mark.slow
def test_two_processes_share_the_files_of_random_views(tmp_path):
    plain = random_views(tmp_path)
    plain.custom_hooks = []
    (seen, expected), _ = run_processes(run, plain)
    assert seen == 2 * (8 + 6)
    for images in (2 + seen, 2 + 8):
        for found in run_processes(run, random_views(tmp_path)):
            assert found == (images, expected)
    assert len(list((tmp_path / 'logits').glob('*/*.logits'))) == 2


@pytest.mark.slow
def test_one_process_finds_what_two_stored_of_images_with_folds(tmp_path):
    cfg = random_views(tmp_path)
    cfg.train_dataloader.dataset.indices = 36
    cfg.train_dataloader.batch_size = 6
    cfg.model.num_students = 3
    cfg.model.folds = dict(num_folds=3)
    cfg.custom_hooks.append(dict(type='mmdckd.FoldsHook'))
    assert [seen for seen, _ in run_processes(run, cfg)] == [2 + 2 * 18] * 2

    alone = copy.deepcopy(cfg)
    alone.launcher = 'none'
    alone.train_dataloader.batch_size = 12
    runner = build_runner(alone)
    seen = []
    runner.model.teachers[0].model.register_forward_pre_hook(
        lambda module, args: seen.append(len(args[0]))
    )
    runner.train()
    assert seen == [2, 12]  # one batch is compared
