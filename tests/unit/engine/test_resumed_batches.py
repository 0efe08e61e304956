# Copyright (c) mmdckd contributors. All rights reserved.
"""A run that resumes another with another batch size or number of processes."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from helpers.resumed import interrupted
from helpers.runs import loader, run_config, shallow_cohort, train
from mmdckd.engine.resumed_batches import renumber
from mmdckd.io.latest import find_latest

BY_ITERATION = dict(
    type='CosineAnnealingLR', T_max=4, end=4, convert_to_iter_based=True
)
BY_EPOCH = dict(type='CosineAnnealingLR', T_max=4)


def config(folder, batch_size, scheduler=BY_ITERATION, **kwargs):
    """Four epochs of 64 images."""
    cfg = run_config(
        folder,
        shallow_cohort(),
        train_dataloader=loader('train', indices=64),
        val_dataloader=loader('val', indices=10),
        train_cfg=dict(by_epoch=True, max_epochs=4, val_interval=2),
        param_scheduler=[dict(scheduler)],
        custom_hooks=[dict(type='mmdckd.ExactResumeHook')],
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1),
            checkpoint=dict(
                type='mmdckd.CohortCheckpointHook', by_epoch=False, interval=1
            ),
        ),
        **kwargs,
    )
    cfg.train_dataloader.batch_size = batch_size
    return cfg


@pytest.fixture(scope='module')
def whole_rates(tmp_path_factory):
    """The learning rates of a run in one go, by batch size and scheduler."""
    found = {}

    def get(batch_size, scheduler=BY_ITERATION):
        key = batch_size, str(scheduler)
        if key not in found:
            cfg = config(tmp_path_factory.mktemp('whole'), batch_size, scheduler)
            cfg.default_hooks.checkpoint.interval = 99
            train(cfg)
            found[key] = rates(cfg.work_dir)
        return found[key]

    return get


def rates(work_dir):
    """The learning rates of the last start of a run, in order."""
    path = max(Path(work_dir).glob('*/vis_data/scalars.json'))
    records = map(json.loads, path.read_text().splitlines())
    return {each['step']: each['lr'] for each in records if 'lr' in each}


def resume(before, cfg, change=None):
    """Resume the run of a config with another config."""
    if change:
        path = find_latest(before.work_dir)
        content = torch.load(path, weights_only=True)
        change(content['meta'])
        torch.save(content, path)
    cfg.load_from, cfg.resume = find_latest(before.work_dir), True
    cfg.default_hooks.checkpoint.interval = 99
    runner = train(cfg)
    (text,) = Path(runner.log_dir).glob('*.log')
    return runner, text.read_text()


def forget(meta):
    """What an older version recorded."""
    meta.pop('batches', None)


@pytest.mark.parametrize(
    'before, after, iteration, expected, change',
    [
        (32, 16, 4, 8, None),  # after two epochs
        (32, 16, 4, 8, forget),
        (16, 32, 6, 3, None),  # inside the second
    ],
)
def test_learning_rates_are_those_of_a_run_with_this_batch_size(
    before, after, iteration, expected, change, whole_rates, tmp_path
):
    first = config(tmp_path, before)
    interrupted(first, 'iter', iteration)
    runner, log = resume(first, config(tmp_path, after), change)
    found = rates(runner.work_dir)
    assert found == {k: v for k, v in whole_rates(after).items() if k > expected}
    assert len(found) == runner.max_iters - expected
    assert runner.iter == runner.max_iters
    assert f'iterations of an epoch: {64 // before} -> {64 // after}' in log
    assert f'counts as {expected}.' in log
    assert runner.message_hub.get_info('last_val_iter') == runner.iter


@pytest.mark.parametrize('scheduler', [BY_ITERATION, BY_EPOCH])
def test_another_number_of_processes_may_resume(scheduler, whole_rates, tmp_path):
    def of_two_processes(meta):
        meta['iter'] //= 2
        meta['batches'] = dict(batch_size=64, world_size=2, epoch_length=1)

    first = config(tmp_path, 32, scheduler)
    interrupted(first, 'iter', 4)
    runner, log = resume(first, config(tmp_path, 32, scheduler), of_two_processes)
    found = rates(runner.work_dir)
    assert found == {k: v for k, v in whole_rates(32, scheduler).items() if k > 4}
    assert 'number of processes: 2 -> 1' in log


@pytest.mark.parametrize('change', [None, forget])
def test_the_learning_rate_is_scaled_to_the_batch_size(change, tmp_path):
    scale = dict(auto_scale_lr=dict(enable=True, base_batch_size=32))
    first = config(tmp_path, 32, BY_EPOCH, **scale)
    interrupted(first, 'iter', 4)
    cfg = config(tmp_path, 8, BY_EPOCH, **scale)
    runner, _ = resume(first, cfg, change)
    assert rates(runner.work_dir)[17] == pytest.approx(0.0125 / 2)  # half of the cosine


def test_a_validation_that_was_due_is_made_up_for(tmp_path):
    first = config(tmp_path, 32)
    interrupted(first, 'val', 4)
    runner, _ = resume(first, config(tmp_path, 16))
    history = runner.message_hub.get_scalar('val/best/accuracy/top1')
    assert len(history.data[0]) == 2


def test_the_validations_so_far_are_renumbered():
    """The last one was of these weights, and is in the new numbers too."""
    checkpoint = dict(
        meta=dict(epoch=2, iter=4),
        message_hub=dict(
            runtime_info=dict(last_val_iter=4, best_student_by=dict(epoch=1, iter=2))
        ),
    )
    renumber(checkpoint, SimpleNamespace(dataloader=range(6)), 2)
    info = checkpoint['message_hub']['runtime_info']
    assert checkpoint['meta'] == dict(epoch=2, iter=12)
    assert info == dict(last_val_iter=12, best_student_by=dict(epoch=1, iter=6))
