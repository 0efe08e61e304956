# Copyright (c) mmdckd contributors. All rights reserved.
"""What `cuda_graphs=True` refuses; what it does needs a GPU, tests/gpu."""

import random
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from test_recomputation import FEATURES, distiller

from helpers.networks import distil
from mmdckd.models.algorithms.cuda_graphs import (
    _has_hooks,
    _host_random_state,
    _state,
    replaying,
)
from mmdckd.models.algorithms.graphed_module import GraphedModule, Replay


def test_a_compiled_step_has_no_graphs_of_ours(batch):
    model = distil()
    assert not isinstance(replaying(model, batch['inputs']), nullcontext)
    model.train_step = torch.compile(model.train_step, backend='eager')
    assert isinstance(replaying(model, batch['inputs']), nullcontext)


@pytest.mark.parametrize(
    'kwargs, why',
    [
        (dict(memory='checkpoint'), 'memory='),
        (dict(teacher_trainable=True), 'teacher_trainable'),
        (dict(distiller=distiller(**FEATURES)), 'recording more than logits'),
    ],
)
def test_what_happens_inside_a_graph_is_refused(kwargs, why):
    with pytest.raises(ValueError, match=f'Invalid `cuda_graphs`.*{why}'):
        distil(cuda_graphs=True, **kwargs)


def test_graphs_are_the_default_where_they_can_be():
    assert distil().graphs is not None
    assert distil(cuda_graphs=False).graphs is None
    assert distil(distiller=distiller(**FEATURES)).graphs is None
    assert distil(memory='checkpoint').graphs is None


def unfrozen(backbone):
    backbone.conv1.weight.requires_grad_(False)


def in_eval_mode(backbone):
    backbone.bn1.eval()


def moved(backbone):
    backbone.conv1.weight.data = backbone.conv1.weight.data.clone()


def without_statistics(backbone):
    backbone.bn1.running_mean = None


def another_layer(backbone):
    backbone.layer1[0].relu = torch.nn.ReLU6()


def hooked(backbone):
    backbone.layer1[0].bn1.register_forward_pre_hook(lambda *args: None)


@pytest.mark.parametrize(
    'change', [unfrozen, in_eval_mode, moved, without_statistics, another_layer, hooked]
)
def test_what_a_capture_depends_on(change):
    """A hook may unfreeze a layer, or keep the statistics of another; `CheckRunHook`
    looks into BatchNorm layers in the first step alone."""
    backbone = distil().cohort.students['student0'].backbone
    modules = list(backbone.modules())
    before = _state(modules)
    assert _state(modules) == before
    change(backbone)
    assert _state(modules) != before


def test_a_layer_that_is_contiguous_on_cpus_alone_can_be_captured():
    """The network has strided convolutions of 1x1 pixels of 4 and 8 channels."""
    backbone = distil(channels_last=True).cohort.students['student0'].backbone
    assert any(module._forward_pre_hooks for module in backbone.modules())
    assert not any(map(_has_hooks, backbone.modules()))


@pytest.mark.parametrize(
    'draw',
    [random.random, np.random.rand, lambda: torch.rand(1)],
    ids=['Python', 'NumPy', 'torch'],
)
def test_a_draw_on_the_host_is_seen(draw):
    before = _host_random_state()
    assert _host_random_state() == before
    draw()
    assert _host_random_state() != before


def test_the_output_of_a_frozen_backbone_outlives_the_next_replay():
    """With independent views, a teacher runs on each before a loss reads it."""
    inputs, outputs = torch.zeros(2), [torch.zeros(2)]
    graph = SimpleNamespace(replay=lambda: outputs[0].copy_(2 * inputs))
    graphed = SimpleNamespace(
        inputs=inputs, outputs=outputs, parameters=[], forward_graph=graph
    )
    (first,) = Replay.apply(graphed, torch.ones(2))
    (second,) = Replay.apply(graphed, torch.full((2,), 3.0))
    assert first.tolist() == [2, 2] and second.tolist() == [6, 6]


def test_a_backbone_whose_forward_was_replaced_keeps_that():
    """As MMEngine's `activation_checkpointing` and other wrappers do."""
    plain, wrapped = torch.nn.Identity(), torch.nn.Identity()
    wrapped.forward = lambda inputs: 2 * inputs
    for module in (plain, wrapped):
        graphed = GraphedModule.__new__(GraphedModule)
        graphed.module = module
        before = dict(vars(module))
        with graphed.in_place():
            assert module.forward == graphed.replay
        assert vars(module) == before
