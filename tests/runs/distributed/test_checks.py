# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs in which processes would wait for one another are refused."""

from helpers.networks import network
from helpers.processes import run_processes
from helpers.runs import run_config
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
