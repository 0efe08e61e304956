# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
import torch

from helpers.networks import digits, distil, network

GAP = 'mmpretrain.models.necks.gap.GlobalAveragePooling.forward'


def delivering(num_students=2, **cfg):
    """A cohort whose pooled features are those of its teacher."""
    return distil(
        num_students,
        distiller=dict(
            type='mmdckd.CollectiveDistiller',
            collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
            distill_deliveries=dict(
                gap=dict(type='MethodOutputs', max_keep_data=1, method_path=GAP)
            ),
        ),
        **cfg,
    ).train()


def watched(model):
    """Lists of the features that each network's head gets, by network."""
    networks = [t.model for t in model.teachers] + [*model.cohort.students.values()]
    seen = [[] for _ in networks]
    for member, features in zip(networks, seen):
        member.head.register_forward_pre_hook(
            lambda _, args, features=features: features.append(args[0][-1].detach())
        )
    return seen


def losses_of(model, batch):
    return model(**model.data_preprocessor(batch, True), mode='loss')


def test_nothing_is_delivered_when_distillation_has_stopped(batch):
    model = delivering()
    losses_of(model, batch)
    teacher, *students = watched(model)
    model.distillation_stopped = True
    losses = losses_of(model, batch)
    assert not teacher
    assert not torch.equal(students[0][0], students[1][0])
    assert set(losses) == {'student.student0.loss', 'student.student1.loss'}


@pytest.mark.parametrize('num_students', [2, 3])
def test_each_view_has_its_own_delivery(num_students):
    model = delivering(num_students, views='independent')
    teacher, *students = watched(model)
    for step in range(3):
        batch = digits()
        views = [digits(start=16 * i + step) for i in range(num_students)]
        batch['inputs'] = [view['inputs'] for view in views]
        model(**model.data_preprocessor(batch, True), mode='loss')
    for step in range(3):
        for i, student in enumerate(students):
            assert torch.equal(student[step], teacher[num_students * step + i])


def test_the_first_of_several_teachers_delivers(batch):
    model = delivering(teacher=[network(34), network(18)])
    first, second, *students = watched(model)
    losses_of(model, batch)
    assert not torch.equal(first[0], second[0])
    assert all(torch.equal(first[0], student[0]) for student in students)


def test_a_trainable_teacher_does_not_learn_from_whom_it_delivers_to(batch):
    model = delivering(teacher_trainable=True)
    losses = losses_of(model, batch)
    weight = model.teachers[0].model.backbone.conv1.weight
    own = sum(losses[name] for name in losses if name.startswith('teacher.'))
    (expected,) = torch.autograd.grad(own, weight, retain_graph=True)
    total, _ = model.parse_losses(losses)
    total.backward()
    torch.testing.assert_close(weight.grad, expected, rtol=0, atol=0)
