# Copyright (c) mmdckd contributors. All rights reserved.
"""Broken images that two processes skip."""

import mmcv
import pytest

from helpers.networks import network
from helpers.processes import run_processes
from helpers.runs import run_config
from mmdckd.datasets import Digits
from mmdckd.engine.cpu_processes import use_cpu_processes
from mmdckd.engine.runner.building import build_runner


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """32 digits as files, four of which are truncated."""
    root = tmp_path_factory.mktemp('digits')
    for index, item in enumerate(Digits(split='train', indices=32)):
        path = root / str(item['gt_label']) / f'{index}.png'
        mmcv.imwrite(item['img'], str(path))
        if index % 8 == 5:
            path.write_bytes(path.read_bytes()[:-30])
    return root


def train(rank, cfg):
    """Train; return how many images this process skipped, and the logged count."""
    use_cpu_processes(cfg)
    runner = build_runner(cfg)
    runner.train()
    loading = runner.train_dataloader.dataset.pipeline.transforms[0]
    return loading.num_skipped, runner.message_hub.get_info('skipped_images')


@pytest.mark.parametrize('parallel', ['data', 'cohort'])
def test_the_count_is_of_all_processes_that_share_the_images(
    parallel, folder, tmp_path
):
    architecture = network()
    # Without BatchNorm, whose statistics the processes of a student share.
    architecture['backbone']['norm_cfg'] = dict(type='GN', num_groups=2)
    cfg = run_config(
        tmp_path,
        dict(architecture=architecture, num_students=2, parallel=parallel),
        launcher='pytorch',
        custom_hooks=[dict(type='mmdckd.SkippedImagesHook')],
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
        train_cfg=dict(by_epoch=True, max_epochs=2),
    )
    cfg.default_hooks.exact_resume = dict(type='mmdckd.ExactResumeHook')
    cfg.train_dataloader.batch_size = 8
    cfg.train_dataloader.dataset = dict(
        type='CustomDataset',
        data_root=str(folder),
        pipeline=[
            dict(type='mmdckd.LoadImage', on_broken='skip'),
            dict(type='PackInputs'),
        ],
    )
    (first, logged), (second, other) = run_processes(train, cfg)
    assert first and second
    assert logged == other
    # With one student per process, each process loads all images.
    assert logged == (first + second if parallel == 'data' else first)
    if parallel == 'cohort':
        assert first == second
    # Four files in each of two epochs; another broken one may take their place.
    assert logged >= 8
