# Copyright (c) mmdckd contributors. All rights reserved.
"""Layer-wise decay of the learning rate gives each student its own rates."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.engine import LearningRateDecayOptimWrapperConstructor

from helpers.networks import PREPROCESSOR, build, distil, network

OPTIM = dict(optimizer=dict(type='AdamW', lr=1e-3, weight_decay=0.05))
PARAMWISE = dict(
    layer_decay_rate=0.5,
    norm_decay_mult=0.0,
    flat_decay_mult=0.0,
    custom_keys={'.cls_token': dict(decay_mult=0.0)},
)


def vit():
    return dict(
        type='ImageClassifier',
        backbone=dict(
            type='VisionTransformer',
            arch=dict(embed_dims=8, num_layers=3, num_heads=1, feedforward_channels=8),
            img_size=8,
            patch_size=4,
        ),
        head=dict(type='VisionTransformerClsHead', num_classes=10, in_channels=8),
    )


def wrapper_of(model):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return LearningRateDecayOptimWrapperConstructor(OPTIM, PARAMWISE)(model)


def settings_of(wrapper):
    return {
        group['param_name']: (group['lr'], group['weight_decay'])
        for group in wrapper.optimizer.param_groups
        if group['params']
    }


def test_two_vits_have_the_rates_of_one():
    alone = settings_of(
        wrapper_of(build(**vit(), data_preprocessor=dict(PREPROCESSOR)))
    )
    model = distil(
        architecture=vit(),
        teacher=None,
        distiller=dict(type='mmdckd.CollectiveDistiller'),
    )
    cohort = settings_of(wrapper_of(model))
    assert len({lr for lr, _ in alone.values()}) == 5
    for name in model.cohort.names:
        prefix = f'architecture.students.{name}.'
        own = {
            key[len(prefix) :]: value
            for key, value in cohort.items()
            if key.startswith(prefix)
        }
        assert own == alone
    assert len(cohort) == 2 * len(alone)


def test_a_step_is_that_of_one_alone():
    torch.manual_seed(0)
    one = build(**vit(), data_preprocessor=dict(PREPROCESSOR))
    model = distil(
        architecture=vit(),
        teacher=None,
        distiller=dict(type='mmdckd.CollectiveDistiller'),
    )
    for student in model.cohort.students.values():
        student.load_state_dict(one.state_dict())
    for network_, wrapper in ((one, wrapper_of(one)), (model, wrapper_of(model))):
        for parameter in network_.parameters():
            parameter.grad = torch.ones_like(parameter)
        wrapper.optimizer.step()
    for student in model.cohort.students.values():
        for key, value in one.state_dict().items():
            assert torch.equal(student.state_dict()[key], value), key


def test_what_is_of_no_network_is_not_scaled_and_a_teacher_answers():
    model = distil(architecture=vit(), teacher=vit(), teacher_trainable=True)
    assert model.get_layer_depth('distiller.a.connector.weight') == (0, 1)
    depth = model.teachers[0].model.get_layer_depth('backbone.cls_token')
    assert (
        model.get_layer_depth('teachers.0.model.backbone.cls_token') == depth == (0, 5)
    )


def test_a_network_that_does_not_tell_is_named():
    model = distil(architecture=network())
    with pytest.raises(NotImplementedError, match="'student0' does not report"):
        wrapper_of(model)
