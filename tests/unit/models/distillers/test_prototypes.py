# Copyright (c) mmdckd contributors. All rights reserved.
"""Losses that ask how the teacher's classes resemble each other."""

import numpy as np
import pytest
import torch

from helpers.networks import digits, distil, network


def wkd(**kwargs):
    loss = dict(type='mmdckd.WKDLoss', **kwargs)
    return dict(
        type='mmdckd.CollectiveDistiller', collective_losses=dict(loss_wkd=loss)
    )


def losses_of(model):
    data = model.data_preprocessor(digits(), True)
    return model(**data, mode='loss')


def without_linear_layer():
    cfg = network(34)
    cfg.update(
        neck=None,
        head=dict(
            type='CSRAClsHead', num_classes=10, in_channels=32, num_heads=1, lam=0.1
        ),
    )
    return cfg


def test_costs_are_those_of_the_teachers_last_layer():
    model = distil(distiller=wkd())
    weight = model.teachers[0].model.head.fc.weight
    cosine = torch.nn.functional.cosine_similarity(weight[:, None], weight, -1)
    costs = model.distiller.collective_losses['loss_wkd'].costs
    torch.testing.assert_close(costs, 1 - torch.exp(cosine - 1), rtol=0, atol=1e-6)
    losses = losses_of(model)
    for name in ('student0', 'student1'):
        for term in ('target', 'transport'):
            assert losses[f'collective.{name}.loss_wkd.{term}'] > 0
    sum(v for k, v in losses.items() if k.startswith('collective')).backward()
    assert all(
        student.head.fc.weight.grad.any() for student in model.cohort.students.values()
    )
    assert not any('costs' in key for key in model.state_dict())


def test_several_teachers_are_averaged():
    model = distil(distiller=wkd(), teacher=[network(34), network(18)])
    costs = []
    for teacher in model.teachers:
        weight = teacher.model.head.fc.weight
        costs.append(torch.nn.functional.cosine_similarity(weight[:, None], weight, -1))
    torch.testing.assert_close(
        model.distiller.collective_losses['loss_wkd'].costs,
        1 - torch.exp((costs[0] + costs[1]) / 2 - 1),
        rtol=0,
        atol=1e-6,
    )


@pytest.mark.parametrize(
    'change, message',
    [
        (
            dict(teacher=without_linear_layer(), task='classification'),
            'whose last layer is not linear',
        ),
        (
            dict(teacher_trainable=True, allow_random_teacher=False),
            'that is itself trained',
        ),
    ],
)
def test_a_teacher_without_prototypes_needs_a_file(change, message, tmp_path):
    with pytest.raises(ValueError, match=f'loss_wkd.cost`: .*{message}'):
        distil(distiller=wkd(), **change)
    np.save(tmp_path / 'cost.npy', 1 - np.eye(10))
    path = str(tmp_path / 'cost.npy')
    model = distil(distiller=wkd(cost=path), **change)
    assert model.distiller.collective_losses['loss_wkd'].costs.shape == (10, 10)
