# Copyright (c) mmdckd contributors. All rights reserved.
"""Images without labels in two processes."""

import numpy as np

from helpers.networks import network
from helpers.processes import run_processes
from helpers.runs import loader, run_config, train


def config(work_dir):
    """Batches of 32 images, half of them labeled, however many processes."""
    architecture = network()
    architecture['backbone']['norm_cfg'] = dict(type='GN', num_groups=2)
    images = loader('train', indices=64)
    images['dataset'] = dict(
        type='mmdckd.WithUnlabeled',
        dataset=images['dataset'],
        unlabeled=dict(images['dataset'], split='val', indices=51),
    )
    images['batch_sampler'] = dict(type='mmdckd.MixedBatchSampler')
    cfg = run_config(
        work_dir,
        dict(architecture=architecture, num_students=2),
        train_dataloader=images,
        train_cfg=dict(by_epoch=True, max_epochs=2),
        custom_hooks=[dict(type='mmdckd.CheckRunHook')],
    )
    cfg.work_dir = str(work_dir)
    return cfg


def run(rank, number, cfg):
    """Train, and tell what the weights are."""
    if number > 1:
        cfg.launcher = 'pytorch'
        cfg.train_dataloader.batch_size //= number
    model = train(cfg).model
    model = model.module if number > 1 else model
    return {key: weight.numpy() for key, weight in model.state_dict().items()}


def test_two_processes_train_as_one(tmp_path):
    one = run(0, 1, config(tmp_path / 'one'))
    first, second = run_processes(run, 2, config(tmp_path / 'two'))
    for key, weight in one.items():
        assert np.array_equal(first[key], second[key]), key
        np.testing.assert_allclose(first[key], weight, atol=2e-4, err_msg=key)
