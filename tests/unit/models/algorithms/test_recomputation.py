# Copyright (c) mmdckd contributors. All rights reserved.
"""`memory='checkpoint'`: the same training with less memory."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from torch.profiler import ProfilerActivity, profile

from helpers.networks import digits, distil, network

FEATURES = dict(
    student_recorders=dict(
        feature=dict(type='ModuleOutputs', source='backbone.layer4'),
        fc=dict(type='ModuleOutputs', source='head.fc'),
    ),
    teacher_recorders=dict(
        feature=dict(type='ModuleOutputs', source='backbone.layer4'),
        fc=dict(type='ModuleOutputs', source='head.fc'),
    ),
    distill_losses=dict(
        loss_at=dict(type='ATLoss', loss_weight=10.0),
        loss_kl=dict(type='KLDivergence', tau=3.0),
    ),
    loss_forward_mappings={
        name: dict(
            zip(
                (student, teacher),
                (
                    dict(recorder=recorder, from_student=True),
                    dict(recorder=recorder, from_student=False),
                ),
            )
        )
        for name, student, teacher, recorder in [
            ('loss_at', 's_feature', 't_feature', 'feature'),
            ('loss_kl', 'preds_S', 'preds_T', 'fc'),
        ]
    },
)


def dropout(rate=0.5):
    cfg = network()
    cfg['head'] = dict(
        type='StackedLinearClsHead',
        num_classes=10,
        in_channels=32,
        mid_channels=[16],
        dropout_rate=rate,
    )
    return cfg


def distiller(**kwargs):
    return dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
        **kwargs,
    )


def train(model, batches, num=3):
    torch.manual_seed(1)
    model.train()
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9))
    return [model.train_step(copy.deepcopy(b), optim) for b in batches[:num]]


@pytest.fixture(scope='module')
def batches():
    return [digits(start=16 * i) for i in range(3)]


@pytest.mark.parametrize(
    'kwargs',
    [
        dict(),
        dict(architecture=dropout()),
        dict(lagged_peers=dict(momentum=0.5, interval=1)),
        dict(teacher_trainable=True),
        dict(distiller=distiller(**FEATURES)),
    ],
    ids=['batch norm', 'dropout', 'lagged peers', 'trainable teacher', 'features'],
)
def test_trains_as_without_to_the_bit(batches, kwargs):
    kwargs.setdefault('distiller', distiller())
    plain, saving = (
        distil(num_students=3, **copy.deepcopy(kwargs), **memory)
        for memory in (dict(), dict(memory='checkpoint'))
    )
    assert train(plain, batches) == train(saving, batches)
    ours, theirs = saving.state_dict(), plain.state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_batch_norm_counts_each_step_once(batches):
    model = distil(memory='checkpoint')
    train(model, batches, num=2)
    counts = {
        int(value)
        for key, value in model.state_dict().items()
        if key.endswith('num_batches_tracked')
    }
    assert counts == {2}


def peak_memory(model, batch):
    """The most bytes that one step has allocated at a time."""
    model.train()
    data = model.data_preprocessor(batch, True)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as prof:
        total, _ = model.parse_losses(model(**data, mode='loss'))
        total.backward()
    now = peak = 0
    for event in prof.profiler.kineto_results.events():
        if event.name() == '[memory]':
            now += event.nbytes()
            peak = max(peak, now)
    return peak


def test_students_need_the_activations_of_one():
    """Beyond the gradients that both have, four need at most 1.15 times what
    one needs, and more than three times as much without."""
    batch = digits(64)
    peaks = {}
    for num, memory in [(1, None), (4, None), (4, 'checkpoint')]:
        loss = dict(type='mmdckd.DCKDLoss', beta=float(num > 1))
        model = distil(
            num_students=num,
            memory=memory,
            teacher=None,
            distiller=dict(
                type='mmdckd.CollectiveDistiller',
                collective_losses=dict(loss_dckd=dict(loss, alpha=0.0)),
            ),
        )
        model(**model.data_preprocessor(copy.deepcopy(batch), True), mode='loss')
        gradients = sum(p.numel() * 4 for p in model.parameters())
        peaks[num, memory] = peak_memory(model, batch) - gradients
    one = peaks[1, None]
    assert peaks[4, None] > 3 * one
    assert peaks[4, 'checkpoint'] < 1.15 * one


def test_deliveries_are_refused():
    deliveries = dict(
        augments=dict(
            type='FunctionOutputs',
            max_keep_data=1,
            func_path='mmpretrain.models.utils.RandomBatchAugment',
        )
    )
    with pytest.raises(ValueError, match='`memory`.*distill_deliveries'):
        distil(distiller=distiller(distill_deliveries=deliveries), memory='checkpoint')


def test_unknown_values_are_refused():
    with pytest.raises(ValueError, match='Invalid `memory`.*checkpoint'):
        distil(memory='low')
