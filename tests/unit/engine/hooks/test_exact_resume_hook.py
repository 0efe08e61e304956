# Copyright (c) mmdckd contributors. All rights reserved.
"""A run that was interrupted and resumed against one that never was."""

import numpy as np
import pytest
from mmengine.runner import EpochBasedTrainLoop

from helpers.resumed import assert_equal, config, final, interrupted, logged, resumed
from helpers.runs import run_config, train
from mmdckd.registry import LOOPS


@pytest.fixture(scope='module')
def never_interrupted(tmp_path_factory):
    """The records and the end of a run, by epoch and by iteration; no run is
    made that is not asked for."""
    runs = {}

    def get(by_epoch):
        if by_epoch not in runs:
            folder = tmp_path_factory.mktemp('whole')
            runner = train(config(folder, by_epoch))
            runs[by_epoch] = logged(runner.work_dir), final(runner.work_dir)
        return runs[by_epoch]

    return get


# A checkpoint every 3 iterations, a validation every 4: the run resumes after
# 6, inside a pass over the data, or after 12, where a validation is due.
@pytest.mark.parametrize(
    'workers, persistent, stage, iteration',
    [
        (0, False, 'iter', 7),
        (2, True, 'iter', 7),
        (0, False, 'val', 12),
        pytest.param(2, False, 'val', 8, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize(
    'by_epoch', [True, pytest.param(False, marks=pytest.mark.slow)]
)
def test_a_resumed_run_is_the_run_that_never_stopped(
    tmp_path, never_interrupted, by_epoch, workers, persistent, stage, iteration
):
    cfg = config(tmp_path, by_epoch, workers, persistent)
    interrupted(cfg, stage, iteration)
    resumed(cfg)
    records, end = never_interrupted(by_epoch)
    assert_equal(logged(cfg.work_dir), records)
    assert_equal(final(cfg.work_dir), end)
    assert len([key for key in records if key[0] == 'train']) == 12


def test_a_run_without_a_seed_resumes_with_that_of_its_beginning(tmp_path):
    """It draws one, and its sampler is built with it."""
    # A teacher at random is another for another seed, and in no checkpoint.
    options = {
        'randomness.seed': None,
        'model.teacher': None,
        'model.distiller.collective_losses.loss_dckd.alpha': 0,
    }
    whole = config(tmp_path / 'whole', **options)
    # The seed is drawn from NumPy: this is what both runs begin with.
    np.random.seed(5)
    train(whole)
    cfg = config(tmp_path / 'stopped', **options)
    np.random.seed(5)
    interrupted(cfg, 'iter', 7)
    resumed(cfg)
    assert_equal(logged(cfg.work_dir), logged(whole.work_dir))
    assert_equal(final(cfg.work_dir), final(whole.work_dir))


def test_accumulated_gradients_are_kept(tmp_path):
    """A checkpoint after 6 iterations, of 4 to a step of the optimizer."""
    options = {'optim_wrapper.accumulative_counts': 4}
    whole = config(tmp_path / 'whole', **options)
    train(whole)
    cfg = config(tmp_path / 'stopped', **options)
    interrupted(cfg, 'iter', 7)
    resumed(cfg)
    assert_equal(logged(cfg.work_dir), logged(whole.work_dir))
    assert_equal(final(cfg.work_dir), final(whole.work_dir))


def test_early_stopping_remembers(tmp_path):
    """Patience that began before the interruption ends after it."""
    stop = dict(
        type='EarlyStoppingHook',
        monitor='best/accuracy/top1',
        min_delta=1000.0,
        patience=3,
    )
    cfg = config(tmp_path, **{'train_cfg.max_epochs': 5})
    cfg.custom_hooks.append(stop)
    interrupted(cfg, 'iter', 9)
    runner = resumed(cfg)
    assert runner.epoch == 4  # the first is the best, three are not better


def test_errors_of_members_are_those_of_the_start_of_the_epoch(tmp_path):
    """KDCL-General measures them then, and not where the run resumes."""
    options = {
        'model.distiller.collective_losses.loss_dckd.collector': dict(
            type='mmdckd.GeneralCollector'
        ),
        # Of one other there is nothing to weigh.
        'model.num_students': 3,
    }
    runs = []
    for name in ('whole', 'stopped'):
        cfg = config(tmp_path / name, **options)
        cfg.custom_hooks[-1] = dict(type='mmdckd.MeasureErrorsHook')
        runs.append(cfg)
    train(runs[0])
    interrupted(runs[1], 'iter', 7)
    resumed(runs[1])
    assert_equal(logged(runs[1].work_dir), logged(runs[0].work_dir))
    assert_equal(final(runs[1].work_dir), final(runs[0].work_dir))


def test_a_loop_of_another_kind_is_refused(tmp_path):
    """Nobody knows where it would resume."""

    class OwnLoop(EpochBasedTrainLoop):
        pass

    LOOPS.register_module(name='OwnLoop', module=OwnLoop, force=True)
    cfg = run_config(
        tmp_path,
        train_cfg=dict(type='mmdckd.OwnLoop', max_epochs=1),
        custom_hooks=[dict(type='mmdckd.ExactResumeHook')],
    )
    with pytest.raises(ValueError, match='`train_cfg.type`: .*got OwnLoop'):
        train(cfg)
