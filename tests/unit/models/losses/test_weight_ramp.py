# Copyright (c) mmdckd contributors. All rights reserved.
"""The ramp against its formula, in real runs."""

import copy
import math
import os.path as osp
import re

import pytest
import torch
from mmengine.dataset import InfiniteSampler
from mmengine.logging import MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mmdckd.models.losses import CohortDKDLoss, DCKDLoss, WeightRamp

DATA = [
    dict(inputs=row)
    for row in torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
]
BY_EPOCH = dict(by_epoch=True, max_epochs=5)  # of 12 / 4 = 3 iterations
BY_ITER = dict(type='IterBasedTrainLoop', max_iters=15)


class Cohort(BaseModel):
    """Two linear students, and a record of their losses."""

    def __init__(self, ramp):
        super().__init__()
        self.students = nn.ModuleList(nn.Linear(5, 3) for _ in range(2))
        self.constant = DCKDLoss(alpha=0)
        self.ramped = DCKDLoss(alpha=0, ramp=ramp)
        self.weights = dict(collective=[], correlation=[])

    def forward(self, inputs, mode='loss'):
        logits = [student(inputs) for student in self.students]
        losses = self.ramped(logits)
        for term, values in self.constant(logits).items():
            ratio = losses[term].sum() / values.sum()
            self.weights[term].append(ratio.item())
        return dict(loss=sum(values.sum() for values in losses.values()))


def train(work_dir, ramp, train_cfg=None, **options):
    torch.manual_seed(0)
    model = Cohort(ramp)
    train_cfg = copy.deepcopy(train_cfg or BY_EPOCH)
    sampler = None if 'by_epoch' in train_cfg else InfiniteSampler(DATA, shuffle=False)
    runner = Runner(
        model=model,
        work_dir=str(work_dir),
        train_dataloader=DataLoader(DATA, batch_size=4, sampler=sampler),
        train_cfg=train_cfg,
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
        experiment_name=f'ramp{len(MessageHub._instance_dict)}',
        **{'log_level': 'ERROR', **options},
    )
    runner.train()
    return model.weights


def laine_and_aila(time, end, begin=0.0):
    if time < begin:
        return 0.0
    if time >= end:
        return 1.0
    return math.exp(-5 * (1 - (time - begin) / (end - begin)) ** 2)


def test_epochs_count_in_fractions(tmp_path):
    weights = train(tmp_path, dict(end=3))
    expected = [laine_and_aila(i / 3, 3) for i in range(15)]
    assert weights['collective'] == pytest.approx(expected, rel=1e-4)
    assert weights['correlation'] == pytest.approx(expected, rel=1e-4)
    assert expected[0] == pytest.approx(math.exp(-5))
    assert expected[8] < expected[9] == 1


def test_only_the_terms_that_were_named(tmp_path):
    weights = train(tmp_path, dict(end=3, terms=['correlation']))
    assert weights['collective'] == [1.0] * 15
    assert weights['correlation'][0] == pytest.approx(math.exp(-5), rel=1e-4)


def test_it_begins_later(tmp_path):
    weights = train(tmp_path, dict(begin=1, end=2))
    expected = [laine_and_aila(i / 3, 2, 1) for i in range(15)]
    assert weights['collective'] == pytest.approx(expected, rel=1e-4)
    assert expected[:4] == [0, 0, 0, math.exp(-5)]


def test_linear_by_iteration(tmp_path):
    ramp = dict(begin=2, end=12, by_epoch=False, kind='linear')
    weights = train(tmp_path, ramp, BY_ITER)
    expected = [min(max(i - 2, 0) / 10, 1) for i in range(15)]
    assert weights['collective'] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize('train_cfg', [BY_EPOCH, BY_ITER])
def test_a_resumed_run_has_the_same_ramp(tmp_path, train_cfg):
    by_epoch = 'by_epoch' in train_cfg
    ramp = dict(end=4) if by_epoch else dict(end=12, by_epoch=False)
    save = dict(
        checkpoint=dict(
            type='mmdckd.CohortCheckpointHook',
            interval=2 if by_epoch else 6,
            by_epoch=by_epoch,
        )
    )
    whole = train(tmp_path, ramp, train_cfg, default_hooks=save)
    checkpoint = tmp_path / ('epoch_2.pth' if by_epoch else 'iter_6.pth')
    rest = train(
        tmp_path / 'resumed', ramp, train_cfg, resume=True, load_from=str(checkpoint)
    )
    assert osp.exists(checkpoint)
    assert len(rest['collective']) == 9
    assert rest['collective'] == pytest.approx(whole['collective'][6:])


def test_a_ramp_at_0_keeps_its_terms(tmp_path):
    weights = train(tmp_path, dict(begin=2, end=3))
    assert weights['collective'][:6] == weights['correlation'][:6] == [0.0] * 6


def test_a_ramp_that_never_ends_is_told(tmp_path):
    def told(name, *args):
        train(tmp_path / name, *args, log_level='WARNING')
        (log,) = (tmp_path / name).rglob('*.log')
        return re.findall('WARNING - (`ramp.end` is .*)', log.read_text())

    (said,) = told('seven', dict(end=7))
    assert said.startswith('`ramp.end` is 7, but this run ends at 5 epochs')
    (said,) = told('three', dict(end=3), BY_ITER)
    assert 'ends at 1 epochs' in said and '`by_epoch=False`' in said
    assert not told('five', dict(end=5))


def test_no_runner():
    MessageHub.get_instance('a hub that nobody has written to')
    loss = DCKDLoss(alpha=0, ramp=dict(end=5))
    with pytest.raises(RuntimeError, match='expected a Runner'):
        loss(torch.zeros(2, 3, 4))


def test_wrong_options():
    for options in (
        dict(end=0),
        dict(end=2, begin=2),
        dict(end=2, begin=-1),
        dict(end=float('nan')),
        dict(end='5'),
        dict(end=5, begin=None),
    ):
        with pytest.raises(ValueError, match='0 <= `begin` < `end`'):
            WeightRamp(**options)
    with pytest.raises(ValueError, match="`ramp.kind`.*'cosine'"):
        DCKDLoss(ramp=dict(end=5, kind='cosine'))
    with pytest.raises(TypeError, match='stop'):
        DCKDLoss(ramp=dict(stop=5))
    for loss in (DCKDLoss, CohortDKDLoss):
        with pytest.raises(ValueError, match='`ramp`: expected None or a dict .* 5'):
            loss(ramp=5)
    for terms in ([], 'teacher', None):
        with pytest.raises(ValueError, match='`ramp.terms`: expected a list of terms'):
            DCKDLoss(ramp=dict(end=5, terms=terms))


def test_repr_tells_the_ramp():
    loss = DCKDLoss(ramp=dict(end=5, kind='linear'))
    assert "end=5, begin=0, by_epoch=True, kind='linear'" in repr(loss)
