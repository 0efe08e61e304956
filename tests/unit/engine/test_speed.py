# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
import torch
from mmengine.config import Config

from mmdckd.engine.speed import make_fast
from mmdckd.models import CollectiveDistill


@pytest.mark.parametrize(
    'model, optimizer',
    [
        ('mmdckd.CollectiveDistill', 'SGD'),
        ('mmdckd.models.algorithms.CollectiveDistill', 'torch.optim.SGD'),
        (CollectiveDistill, torch.optim.SGD),
    ],
)
def test_a_type_may_be_written_in_every_way(model, optimizer):
    cfg = Config(
        dict(
            model=dict(type=model),
            optim_wrapper=dict(optimizer=dict(type=optimizer, lr=0.1)),
        )
    )
    make_fast(cfg)
    assert cfg.model.channels_last is True
    assert cfg.optim_wrapper.optimizer.fused is True


def test_others_keep_their_arguments():
    cfg = Config(
        dict(
            model=dict(type='ImageClassifier'),
            optim_wrapper=dict(optimizer=dict(type='LARS', lr=0.1)),
        )
    )
    make_fast(cfg)
    assert cfg.model == dict(type='ImageClassifier')
    assert cfg.optim_wrapper.optimizer == dict(type='LARS', lr=0.1)
    assert cfg.env_cfg.cudnn_benchmark is True
