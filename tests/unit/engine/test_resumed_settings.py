# Copyright (c) mmdckd contributors. All rights reserved.
"""A run that resumes another with other settings."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.optim import MultiStepLR, ReduceOnPlateauLR

from helpers.runs import loader, run_config, shallow_cohort, train
from mmdckd.engine.loops.exact_train_loops import ExactEpochTrainLoop
from mmdckd.engine.rescheduling import fast_forward
from mmdckd.engine.resumed_settings import compare_settings

HOOKS = [dict(type='mmdckd.ExactResumeHook')]
LOGGED = dict(
    logger=dict(type='LoggerHook', interval=1),
    checkpoint=dict(
        type='mmdckd.CohortCheckpointHook', interval=1, save_best='best/accuracy/top1'
    ),
)


def cosine(epochs):
    return [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=3),
        dict(type='CosineAnnealingLR', T_max=epochs),
    ]


def steps(epochs):
    return [
        dict(type='MultiStepLR', milestones=[epochs - 1], convert_to_iter_based=True),
        dict(
            type='ReduceOnPlateauLR',
            monitor='best/accuracy/top1',
            rule='greater',
            patience=1 if epochs > 2 else 5,
            threshold=1000.0,
            factor=0.5,
        ),
    ]


def config(folder, epochs, schedule, **kwargs):
    """Two steps an epoch."""
    return run_config(
        folder,
        shallow_cohort(),
        train_dataloader=loader('train', indices=64),
        val_dataloader=loader('val', indices=20),
        train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
        param_scheduler=schedule(epochs),
        custom_hooks=HOOKS,
        default_hooks=LOGGED,
        **kwargs,
    )


def rates(work_dir):
    """The learning rate of every step, of all starts of a run."""
    found = {}
    for path in Path(work_dir).glob('*/vis_data/scalars.json'):
        for line in path.read_text().splitlines():
            record = json.loads(line)
            if 'lr' in record:
                found[record['step']] = record['lr']
    return found


def resume(before, cfg):
    """Resume the run of a config with another config."""
    cfg.work_dir = before.work_dir
    cfg.resume = True
    runner = train(cfg)
    (text,) = Path(runner.log_dir).glob('*.log')
    return runner, text.read_text()


@pytest.mark.parametrize(
    'schedule', [cosine, pytest.param(steps, marks=pytest.mark.slow)]
)
def test_a_longer_schedule_is_followed_as_if_from_the_beginning(tmp_path, schedule):
    whole = train(config(tmp_path / 'whole', 5, schedule))
    before = config(tmp_path / 'resumed', 3, schedule)
    train(before)
    seen = rates(before.work_dir)
    assert seen != {k: v for k, v in rates(whole.work_dir).items() if k <= 6}
    runner, log = resume(before, config(tmp_path, 5, schedule))
    expected = {k: v for k, v in rates(whole.work_dir).items() if k > 6}
    found = {k: v for k, v in rates(runner.work_dir).items() if k > 6}
    assert found == expected and len(found) == 4
    assert 'train_cfg.max_epochs: 3 -> 5' in log
    if schedule is cosine:
        assert 'param_scheduler[1].T_max: 3 -> 5' in log


def test_a_checkpoint_without_optimizer_goes_on_with_the_schedule(tmp_path):
    """As the best ones are."""
    whole = train(config(tmp_path / 'whole', 3, cosine))
    cfg = config(tmp_path, 3, cosine)
    content = torch.load(Path(whole.work_dir) / 'epoch_2.pth', weights_only=True)
    for key in ('optimizer', 'param_schedulers'):
        del content[key]
    cfg.load_from, cfg.resume = str(tmp_path / 'best.pth'), True
    torch.save(content, cfg.load_from)
    runner = train(cfg)
    found = rates(runner.work_dir)
    assert found == {k: v for k, v in rates(whole.work_dir).items() if k > 4}
    (text,) = Path(runner.log_dir).glob('*.log')
    assert 'has no optimizer and no param_schedulers' in text.read_text()


def test_what_differs_is_said_and_which_of_the_two_holds(tmp_path):
    before = config(tmp_path, 1, cosine)
    train(before)
    cfg = config(tmp_path, 2, cosine, randomness=dict(seed=7))
    cfg.optim_wrapper.optimizer.update(lr=0.01, weight_decay=0.1)
    cfg.train_dataloader.num_workers = 1
    runner, log = resume(before, cfg)
    assert 'optim_wrapper.optimizer.lr: 0.05 -> 0.01' in log
    assert 'optim_wrapper.optimizer.weight_decay: (not set) -> 0.1' in log
    assert "randomness.seed: 1 -> 7 (the checkpoint's is used)" in log
    assert 'num_workers' not in log.split('other settings')[1].split('Load')[0]
    groups = runner.optim_wrapper.param_groups
    assert all(group['weight_decay'] == 0.1 for group in groups)
    assert all(group['initial_lr'] == 0.01 for group in groups)
    assert runner.seed == 1


def test_the_same_settings_need_no_word(tmp_path):
    cfg = config(tmp_path, 1, cosine)
    train(cfg)
    again = Config(cfg.to_dict())
    again.experiment_name += '_again'
    _, log = resume(cfg, again)
    assert 'other settings' not in log


@pytest.mark.parametrize(
    'change, words',
    [
        ({'model.num_students': 3}, 'model.num_students'),
        (
            {'optim_wrapper.optimizer': dict(type='AdamW', lr=0.1, _delete_=True)},
            'optim_wrapper.optimizer.type',
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused(tmp_path, change, words):
    before = config(tmp_path, 1, cosine)
    train(before)
    cfg = config(tmp_path, 2, cosine)
    cfg.merge_from_dict(change)
    with pytest.raises(ValueError, match=words):
        resume(before, cfg)


def test_a_text_that_is_no_config_is_an_error():
    with pytest.raises(ValueError, match='config text'):
        compare_settings('import os', Config())
    assert compare_settings(None, Config()) == []


def test_infinite_and_missing_numbers_are_compared():
    before = Config(dict(optim_wrapper=dict(a=float('inf'), b=[float('nan')], c=1.0)))
    now = Config(dict(optim_wrapper=dict(a=-float('inf'), b=[float('nan')], c=1)))
    (found,) = compare_settings(before.pretty_text, now)
    assert found == ('optim_wrapper.a', float('inf'), -float('inf'))
    assert compare_settings(before.pretty_text, before) == []


def test_a_config_without_default_hooks_is_compared():
    text = Config(dict(default_hooks=dict())).pretty_text
    now = Config(dict(default_hooks=dict(logger=dict(interval=1))))
    assert [each.key for each in compare_settings(text, now)] == ['default_hooks']


def forwarded(length, epoch, iteration, scores=(), last=None, **train_cfg):
    """Schedulers stepped to a checkpoint, in a run with epochs of a length."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=1.0)
    loop = object.__new__(ExactEpochTrainLoop)
    loop._epoch, loop._iter, loop.dataloader = epoch, iteration, range(length)
    hub = MessageHub('forwarded')
    for score in scores:
        hub.update_scalar('val/top1', score)
    if last is not None:
        hub.update_info('last_val_iter', last)
    plateau = ReduceOnPlateauLR(optimizer, 'top1', 'greater', patience=9)
    step = MultiStepLR(optimizer, milestones=[100])
    received = []
    plateau._is_better = lambda score, best: received.append((step.last_step, score))
    runner = SimpleNamespace(
        train_loop=loop, message_hub=hub, param_schedulers=[step, plateau]
    )
    fast_forward(runner, train_cfg)
    return step.last_step, received


@pytest.mark.parametrize(
    'length, epoch, iteration',
    [
        (10, 4, 40),
        (20, 4, 40),  # half as many iterations an epoch before
        (5, 4, 40),
        (20, 2, 29),
        (5, 0, 8),
        (10, 3, 40),  # interrupted before the hooks after epoch 4
    ],
)
def test_schedules_by_epoch_follow_the_epochs_of_the_checkpoint(
    length, epoch, iteration
):
    assert forwarded(length, epoch, iteration) == (epoch, [])


@pytest.mark.parametrize(
    'epoch, scores, last, expected',
    [
        (4, [0.1, 0.2], 40, [(2, 0.1), (4, 0.2)]),
        # The last one was at the end of the run before.
        (5, [0.1, 0.2, 0.3], 50, [(2, 0.1), (4, 0.2), (5, 0.3)]),
        # Interrupted before the second validation.
        (4, [0.1], 20, [(2, 0.1)]),
        # The hub has dropped the first one.
        (4, [0.2], 40, [(4, 0.2)]),
    ],
)
def test_a_plateau_is_found_in_the_validations_that_were(epoch, scores, last, expected):
    _, received = forwarded(10, epoch, 10 * epoch, scores, last, val_interval=2)
    assert received == expected


def test_a_plateau_follows_intervals_that_change():
    scores = [0.1, 0.2, 0.3, 0.4, 0.5]
    intervals = dict(val_interval=4, dynamic_intervals=[(8, 1)])
    _, received = forwarded(10, 10, 100, scores, 100, **intervals)
    assert received == list(zip([4, 7, 8, 9, 10], scores))
