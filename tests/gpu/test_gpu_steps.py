# Copyright (c) mmdckd contributors. All rights reserved.
"""Steps of a cohort: gradients, layouts, and losses that are not finite."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from small import (
    DCKD,
    TOLERANCES,
    amp,
    cohort,
    flat,
    gradients,
    network,
    preprocess,
    total,
)

from helpers.networks import build, digits
from helpers.poison import Poison

pytestmark = pytest.mark.gpu

ALPHA, BETA, GAMMA, TAU = 1.0, 1.0, 0.1, 4.0


def by_hand(model, images, labels):
    """A plain loop over the students: the total loss, and gradients.

    The default loss is the task's, the teacher's KL, the KL of the mean of
    the others' logits, and the entropy, which is gained.
    """
    students = list(model.cohort.students.values())
    with torch.no_grad():
        network = model.teachers[0].model
        teacher = network.head(network.extract_feat(images))
    logits = [student.head(student.extract_feat(images)) for student in students]
    log_probs = [(z / TAU).log_softmax(1) for z in logits]
    loss = 0
    for i, log_p in enumerate(log_probs):
        others = [z.detach() for j, z in enumerate(logits) if j != i]
        collected = (sum(others) / len(others) / TAU).softmax(1)
        loss = loss + F.cross_entropy(logits[i], labels)
        loss = loss + ALPHA * TAU**2 * F.kl_div(
            log_p, (teacher / TAU).softmax(1), reduction='batchmean'
        )
        loss = loss + BETA * TAU**2 * F.kl_div(log_p, collected, reduction='batchmean')
        loss = loss + GAMMA * (log_p.exp() * log_p).sum(1).mean()
    model.zero_grad()
    loss.backward()
    return loss, {name: p.grad.clone() for name, p in model.named_parameters()}


def test_gradients_are_those_of_a_plain_loop(device, compare):
    """In float64, where nothing is left to rounding."""
    model = cohort(device, torch.float64, num_students=4)
    data = preprocess(model)
    losses, ours = gradients(model, data)
    labels = torch.cat([each.gt_label for each in data['data_samples']])
    loss, expected = by_hand(model, data['inputs'], labels)
    assert ours.keys() == expected.keys()
    compare('by hand: loss', total(losses), loss, TOLERANCES['by_hand'])
    compare(
        'by hand: gradient',
        flat(ours.values()),
        flat(expected.values()),
        TOLERANCES['by_hand'],
    )


COHORTS = dict(
    dckd=dict(),
    trainable_teacher=dict(teacher_trainable=True),
    several_teachers=dict(teacher=[network(), network()]),
    lagged_peers=dict(lagged_peers=dict(momentum=0.5, interval=2)),
    recomputed=dict(memory='checkpoint'),
    mixed=dict(
        architecture=None,
        num_students=None,
        students=dict(a=network(), b=network(depth=34)),
    ),
    input_size=dict(teacher=dict(**network(), input_size=16)),
    norm=dict(
        teacher=dict(
            **network(),
            data_preprocessor=dict(mean=[70.0] * 3, std=[80.0] * 3, to_rgb=True),
        )
    ),
)


@pytest.mark.parametrize('kwargs', COHORTS.values(), ids=COHORTS)
def test_gradients_are_those_on_the_cpu(device, compare, kwargs):
    reference = cohort('cpu', torch.float64, **copy.deepcopy(kwargs))
    model = cohort('cpu', **copy.deepcopy(kwargs))
    model.to(device)
    losses, ours = gradients(model)
    expected, theirs = gradients(reference)
    assert {each.device for each in ours.values()} == {device}
    compare('cohorts: loss', total(losses), total(expected), TOLERANCES['razor_loss'])
    compare(
        'cohorts: gradient',
        flat(ours.values()),
        flat(theirs.values()),
        TOLERANCES['razor_gradient'],
    )


def test_students_that_are_initialized_on_the_device_differ(device):
    """As a runner does it; and peers change nothing about the first one."""

    def initialized(num_students):
        torch.manual_seed(0)
        model = build(
            architecture=network(),
            num_students=num_students,
            teacher=network(),
            allow_random_teacher=True,
            distiller=DCKD,
        ).to(device)
        torch.manual_seed(0)
        model.init_weights()
        weights = [
            student.backbone.conv1.weight.detach()
            for student in model.cohort.students.values()
        ]
        return weights, torch.rand(8, device=device)

    weights, drawn = initialized(4)
    for number, one in enumerate(weights):
        assert not any(torch.equal(one, other) for other in weights[:number])
    (first, second, *_), expected = initialized(2)
    assert torch.equal(first, weights[0]) and torch.equal(second, weights[1])
    assert torch.equal(drawn, expected)


def test_channels_last_changes_rounding_alone(device, compare):
    plain, last = cohort('cpu'), cohort('cpu', channels_last=True)
    plain.to(device)
    last.to(device)
    weight = last.cohort.students['student0'].backbone.layer1[0].conv1.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    losses, expected = gradients(plain)
    theirs, ours = gradients(last)
    compare(
        'channels last: loss', total(theirs), total(losses), TOLERANCES['channels_last']
    )
    compare(
        'channels last: gradient',
        flat(ours.values()),
        flat(expected.values()),
        TOLERANCES['channels_last_gradient'],
    )


def test_independent_views(device):
    model = cohort(device, num_students=2, views='independent')
    data = digits()
    data['inputs'] = [data['inputs'], data['inputs'].flip(-1)]
    data = model.data_preprocessor(data, True)
    assert all(view.device == device for view in data['inputs'])
    _, found = gradients(model, data)
    assert all(bool(grad.isfinite().all()) for grad in found.values())


def wrapper(kind, model):
    optimizer = torch.optim.SGD(model.parameters(), 0.05, 0.9)
    if kind == 'float32':
        return OptimWrapper(optimizer)
    return amp(optimizer=optimizer, dtype=kind)


@pytest.mark.parametrize('kind', ['float32', 'float16', 'bfloat16'])
def test_nothing_is_updated_where_a_loss_is_not_a_number(device, kind):
    model = cohort(device)
    optim = wrapper(kind, model)
    Poison(model.cohort.students['student1'], {2})
    for step in range(2):
        model.train_step(digits(start=16 * step), optim)
    before = copy.deepcopy((model.state_dict(), optim.state_dict()))
    with pytest.raises(FloatingPointError, match='the loss of student1'):
        model.train_step(digits(start=32), optim)
    after = model.state_dict(), optim.state_dict()
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    log = model.train_step(digits(start=48), optim)
    assert math.isfinite(log['loss'])


def test_a_scale_that_is_too_large_costs_one_step(device):
    """The gradient overflows in float16; the scaler skips and halves."""
    model = cohort(device)
    optim = amp(
        optimizer=torch.optim.SGD(model.parameters(), 0.05),
        dtype='float16',
        loss_scale=dict(init_scale=2.0**40, growth_interval=1000),
    )
    before = [p.clone() for p in model.parameters()]
    model.train_step(digits(), optim)
    assert all(map(torch.equal, model.parameters(), before))
    assert optim.loss_scaler.get_scale() == 2.0**39
    for _ in range(40):
        log = model.train_step(digits(), optim)
    assert math.isfinite(log['loss'])
    assert not any(map(torch.equal, model.parameters(), before))


def test_a_cohort_with_mmrazors_distiller_beside_it(device):
    """Recorders, connectors and deliveries where they are on the device."""
    recorder = dict(layer=dict(type='ModuleOutputs', source='backbone.layer2'))
    model = cohort(
        device,
        distiller=dict(
            DCKD,
            student_recorders=recorder,
            teacher_recorders=recorder,
            connectors=dict(
                adapt=dict(type='ConvModuleConnector', in_channel=16, out_channel=16)
            ),
            distill_losses=dict(loss_l2=dict(type='L2Loss')),
            loss_forward_mappings=dict(
                loss_l2=dict(
                    s_feature=dict(
                        recorder='layer', from_student=True, connector='adapt'
                    ),
                    t_feature=dict(recorder='layer', from_student=False),
                )
            ),
        ),
    )
    losses, found = gradients(model)
    assert all(value.device == device for value in losses.values())
    assert any('connectors' in name for name in found)
