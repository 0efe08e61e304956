# Copyright (c) mmdckd contributors. All rights reserved.
import math

import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from mmdckd.models.backbones import (
    CIFARVGG,
    CIFARMobileNetV2,
    CIFARResNet,
    CIFARShuffleNetV1,
    CIFARShuffleNetV2,
    CIFARWideResNet,
)
from mmdckd.registry import MODELS

BUILDERS = dict(
    CIFARResNet=lambda: CIFARResNet(8),
    CIFARWideResNet=lambda: CIFARWideResNet(16),
    CIFARVGG=lambda: CIFARVGG(8),
    CIFARMobileNetV2=CIFARMobileNetV2,
    CIFARShuffleNetV1=CIFARShuffleNetV1,
    CIFARShuffleNetV2=CIFARShuffleNetV2,
)
UNIFORM = ('CIFARShuffleNetV1', 'CIFARShuffleNetV2')


def convolutions(network):
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, nn.Conv2d)
    }


@pytest.mark.parametrize('name', BUILDERS)
@pytest.mark.parametrize(
    'scope, prefix', [('mmpretrain', 'mmdckd.'), ('mmrazor', ''), ('mmdckd', '')]
)
def test_is_found_in_three_ways(name, scope, prefix):
    with DefaultScope.overwrite_default_scope(scope):
        assert MODELS.get(prefix + name).__name__ == name


@pytest.mark.parametrize(
    'network, shapes',
    [
        (CIFARResNet(8, out_indices=(0, 1, 2)), [(16, 32), (32, 16), (64, 8)]),
        (CIFARResNet(8, 32, 64, (0, 1, 2)), [(64, 32), (128, 16), (256, 8)]),
        (CIFARWideResNet(16, 2), [(128, 8)]),
        (
            CIFARVGG(8, out_indices=(0, 1, 2, 3, 4)),
            [(64, 16), (128, 8), (256, 4), (512, 4), (512, 4)],
        ),
        (
            CIFARMobileNetV2(out_indices=range(8)),
            [
                (8, 16),
                (12, 16),
                (16, 8),
                (32, 4),
                (48, 4),
                (80, 2),
                (160, 2),
                (1280, 2),
            ],
        ),
        (CIFARShuffleNetV1((0, 1, 2)), [(240, 16), (480, 8), (960, 4)]),
        (
            CIFARShuffleNetV2(out_indices=(0, 1, 2, 3)),
            [(116, 16), (232, 8), (464, 4), (1024, 4)],
        ),
    ],
)
def test_features(network, shapes):
    network.init_weights()
    features = network(torch.randn(2, 3, 32, 32))
    assert [tuple(x.shape) for x in features] == [
        (2, channels, side, side) for channels, side in shapes
    ]
    features[-1].sum().backward()
    assert all(
        p.grad is not None and p.grad.isfinite().all() for p in network.parameters()
    )


@pytest.mark.parametrize('name', BUILDERS)
def test_starts_with_the_spread_of_the_reference(name):
    network = BUILDERS[name]()
    torch.manual_seed(0)
    network.init_weights()
    for path, conv in convolutions(network).items():
        inputs = conv.weight[0].numel()
        outputs = conv.out_channels * conv.weight[0, 0].numel()
        if name in UNIFORM:
            bound = inputs**-0.5
            assert conv.weight.abs().max() <= bound, path
            expected = bound / math.sqrt(3)
        else:
            expected = math.sqrt(2 / outputs)
        number = conv.weight.numel()
        if number >= 200:
            assert conv.weight.std().item() == pytest.approx(
                expected, rel=4 / math.sqrt(number)
            ), path
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all()


@pytest.mark.parametrize('name', BUILDERS)
def test_starts_anew_by_its_seed(name):

    def start(seed):
        torch.manual_seed(seed)
        network = BUILDERS[name]()
        network.init_weights()
        return convolutions(network)

    first, same, other = start(1), start(1), start(2)
    for path, conv in first.items():
        assert torch.equal(conv.weight, same[path].weight)
        assert not torch.equal(conv.weight, other[path].weight)


@pytest.mark.parametrize(
    'build',
    [lambda: CIFARResNet(18), lambda: CIFARWideResNet(18), lambda: CIFARVGG(12)],
)
def test_unknown_depth(build):
    with pytest.raises(KeyError, match='invalid depth 1[28]'):
        build()


@pytest.mark.parametrize(
    'network, indices', [(CIFARMobileNetV2, (0, 8)), (CIFARShuffleNetV1, (3,))]
)
def test_unknown_stage(network, indices):
    with pytest.raises(ValueError, match='`out_indices`'):
        network(out_indices=indices)


def test_blocks_can_start_as_the_identity():
    network = CIFARResNet(14, zero_init_residual=True)
    network.init_weights()
    assert (network.layer2[1].bn2.weight == 0).all()
