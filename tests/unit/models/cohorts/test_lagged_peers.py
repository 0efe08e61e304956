# Copyright (c) mmdckd contributors. All rights reserved.
import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper

from helpers.networks import digits, distil
from mmdckd.models.cohorts.lagged_peers import LaggedPeers

DISTILLER = dict(
    type='mmdckd.CollectiveDistiller',
    collective_losses=dict(
        loss_co=dict(
            type='mmdckd.DCKDLoss', alpha=0.0, gamma=0.0, tau=1.0, collector='mean'
        )
    ),
)


def cohort(num_students=3, **lagged_peers):
    return distil(
        num_students, teacher=None, distiller=DISTILLER, lagged_peers=lagged_peers
    ).train()


def optimizer(model):
    return OptimWrapper(
        torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    )


def weights(students):
    return {k: v.clone() for k, v in students.state_dict().items()}


def test_students_learn_from_what_their_peers_were(batch):
    model = cohort(interval=3)
    optim = optimizer(model)
    for _ in range(2):
        model.train_step(batch, optim)
    data = model.data_preprocessor(batch, True)
    with torch.no_grad():
        lagged = [
            copy.deepcopy(student)(data['inputs'], mode='tensor').softmax(-1)
            for student in model.lagged_peers.students.values()
        ]
    with torch.no_grad():
        own = [
            copy.deepcopy(student)(data['inputs'], mode='tensor').log_softmax(-1)
            for student in model.cohort.students.values()
        ]
    losses = model(**data, mode='loss')
    for i in range(3):
        target = (sum(lagged) - lagged[i]) / 2
        torch.testing.assert_close(
            losses[f'collective.student{i}.loss_co.collective'],
            F.kl_div(own[i], target, reduction='batchmean'),
        )


def test_stale_copies_are_taken_every_so_many_steps(batch):
    model = cohort(interval=2)
    optim = optimizer(model)
    seen = []
    for _ in range(5):
        seen.append(weights(model.cohort.students))
        model.train_step(batch, optim)
        lagged = weights(model.lagged_peers.students)
        taken = (len(seen) - 1) // 2 * 2
        for key, value in seen[taken].items():
            assert torch.equal(lagged[key], value), key
    assert any(not torch.equal(value, seen[0][key]) for key, value in lagged.items())


def test_moving_average(batch):
    model = cohort(momentum=0.3)
    optim = optimizer(model)
    expected = weights(model.cohort.students)
    for _ in range(4):
        for key, value in weights(model.cohort.students).items():
            if value.is_floating_point():
                expected[key] = 0.7 * expected[key] + 0.3 * value
            else:
                expected[key] = value
        model.train_step(batch, optim)
    lagged = weights(model.lagged_peers.students)
    for key, value in expected.items():
        torch.testing.assert_close(lagged[key], value)


def test_they_start_as_the_students_whatever_these_start_from(batch):
    model = cohort()
    students = model.cohort.students
    with torch.no_grad():
        for parameter in students.parameters():
            parameter.mul_(2)
    before = weights(students)
    model(**model.data_preprocessor(batch, True), mode='loss')
    lagged = model.lagged_peers.students.state_dict()
    for name, _ in students.named_parameters():
        assert torch.equal(lagged[name], before[name])


def test_they_are_in_the_checkpoint_and_in_no_optimizer(batch):
    model = cohort(momentum=0.5)
    assert not list(model.lagged_peers.parameters())
    optim = optimizer(model)
    for _ in range(3):
        model.train_step(batch, optim)
    resumed = cohort(momentum=0.5)
    resumed.load_state_dict(model.state_dict())
    again = optimizer(resumed)
    again.load_state_dict(copy.deepcopy(optim.state_dict()))
    for start in (16, 32):
        batch = digits(start=start)
        first = model.train_step(copy.deepcopy(batch), optim)
        second = resumed.train_step(batch, again)
        assert first == second
    for key, value in model.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[key]), key


def test_they_never_train():
    model = cohort()
    assert not any(m.training for m in model.lagged_peers.modules())
    assert all(m.training for m in model.cohort.students.modules())
    lagged = model.double().lagged_peers.students.state_dict()
    assert lagged['student0.head.fc.weight'].dtype == torch.float64


def test_without_peers_a_student_learns_from_its_own_past(batch):
    losses = dict(
        loss_self=dict(
            type='mmdckd.DCKDLoss',
            alpha=0.0,
            gamma=0.0,
            collector=dict(type='mean', include_self=True),
        )
    )
    model = distil(
        1,
        teacher=None,
        distiller=dict(DISTILLER, collective_losses=losses),
        lagged_peers=dict(momentum=0.1),
    )
    log = model.train().train_step(batch, optimizer(model))
    assert log['collective.student0.loss_self.collective'] > 0


@pytest.mark.parametrize(
    'cfg, message',
    [
        (dict(momentum=0.0), '`lagged_peers.momentum`.*got 0.0'),
        (dict(momentum=1.1), '`lagged_peers.momentum`.*got 1.1'),
        (dict(momentum='0.5'), "`lagged_peers.momentum`.*got '0.5'"),
        (dict(every=2), '`lagged_peers`: expected a dict with keys'),
        (dict(interval=0), '`lagged_peers.interval`.*got 0'),
        (dict(interval=1.5), '`lagged_peers.interval`.*got 1.5'),
    ],
)
def test_wrong_options(cfg, message):
    with pytest.raises(ValueError, match=message):
        cohort(**cfg)


def test_they_need_a_loss_that_collects():
    with pytest.raises(
        ValueError, match='`lagged_peers`: expected None without .*collective_losses'
    ):
        distil(
            teacher=None,
            distiller=dict(type='mmdckd.CollectiveDistiller'),
            lagged_peers=dict(),
        )


@pytest.mark.parametrize('num_students', [1, 2])
def test_they_need_a_loss_that_uses_peers(num_students):
    losses = dict(loss_dckd=dict(type='mmdckd.DCKDLoss', beta=0.0))
    with pytest.raises(ValueError, match='`lagged_peers`: expected None .*uses peers'):
        distil(
            num_students,
            distiller=dict(DISTILLER, collective_losses=losses),
            lagged_peers=dict(),
        )


def test_options_that_are_not_in_a_dict():
    with pytest.raises(ValueError, match='`lagged_peers`: expected a dict .* got 2'):
        distil(2, distiller=DISTILLER, lagged_peers=2)


def test_a_tensor_that_two_layers_share_moves_once():
    students = cohort(2).cohort
    for student in students.students.values():
        shared, tied = student.backbone.layer1[1], student.backbone.layer2[1]
        shared.conv2 = shared.conv1
        tied.conv2.weight = tied.conv1.weight
    lagged = LaggedPeers(students, lambda _: None, momentum=0.25)
    lagged.follow(students)
    before = {key: value.clone() for key, value in lagged.students.state_dict().items()}
    with torch.no_grad():
        for parameter in students.parameters():
            parameter.add_(1)
    lagged.follow(students)
    for key, value in lagged.students.state_dict().items():
        if value.is_floating_point() and 'running' not in key:
            torch.testing.assert_close(value, before[key] + 0.25, msg=key)
