# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs in which processes would wait for one another, or fail late, are refused."""

import pytest

from helpers.networks import network, token_network
from helpers.processes import run_processes
from helpers.runs import run_config
from helpers.spread import CONNECTED
from mmdckd.engine.runner.building import build_runner


def config(work_dir, **model):
    cfg = run_config(work_dir, dict(architecture=network(), num_students=2, **model))
    cfg.update(launcher='pytorch', work_dir=str(work_dir))
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks = {}
    cfg.train_dataloader.batch_size = 8
    cfg.train_dataloader.dataset.indices = 32
    return cfg


def trained(rank, cfg, images=None):
    """The iterations of a run, or the error that it ends with."""
    if images is not None:
        cfg.train_dataloader.dataset.indices = images[rank]
    runner = build_runner(cfg)
    try:
        runner.train()
    except ValueError as error:
        return runner.iter, str(error)
    return runner.iter, ''


def test_processes_have_equally_many_batches(tmp_path):
    uneven = config(tmp_path / 'uneven')
    uneven.train_dataloader.sampler.round_up = False
    for cfg, images, found in (
        (uneven, [33, 33], 'got 3 of 33 images, 2 of 33 images'),
        (config(tmp_path / 'lacking'), [32, 30], 'got 2 of 32 images, 2 of 30 images'),
    ):
        for iteration, error in run_processes(trained, cfg, images):
            assert iteration == 0
            assert error.startswith('Invalid `train_dataloader`: expected the same')
            assert found in error


def stopped(work_dir, epoch, **kwargs):
    cfg = config(work_dir, **kwargs)
    cfg.custom_hooks = [dict(type='mmrazor.StopDistillHook', stop_epoch=epoch)]
    return cfg


@pytest.mark.parametrize(
    'parallel', ['data', pytest.param('cohort', marks=pytest.mark.slow)]
)
def test_a_connector_without_gradients_is_refused_in_time(parallel, tmp_path):
    cfg = stopped(tmp_path, 1, parallel=parallel, distiller=CONNECTED)
    cfg.default_hooks.exact_resume = dict(type='mmdckd.ExactResumeHook')
    cfg.default_hooks.checkpoint = dict(type='mmdckd.CohortCheckpointHook')
    for iteration, error in run_processes(trained, cfg):
        assert iteration == 0
        assert error.startswith(
            'Invalid `find_unused_parameters`: expected True with `StopDistillHook`, '
            'as distiller.'
        )
        assert 'has no gradient from epoch 2 on, got False' in error


@pytest.mark.slow
def test_so_is_a_distillation_classifier(tmp_path):
    students = dict(a=token_network('LeViTClsHead'), b=network())
    cfg = stopped(tmp_path, 1)
    cfg.model.update(architecture=None, num_students=None, students=students)
    for iteration, error in run_processes(trained, cfg):
        assert iteration == 0
        assert 'head_dist of a has no gradient' in error


@pytest.mark.slow
def test_runs_that_go_on_after_distillation_are_not(tmp_path):
    late = stopped(tmp_path / 'late', 2, distiller=CONNECTED)
    logits = stopped(tmp_path / 'logits', 1)
    unused = stopped(tmp_path / 'unused', 1, distiller=CONNECTED)
    unused.find_unused_parameters = True
    for cfg in (late, logits, unused):
        assert run_processes(trained, cfg) == [(4, '')] * 2
