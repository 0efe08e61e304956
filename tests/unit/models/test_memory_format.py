# Copyright (c) mmdckd contributors. All rights reserved.
"""Strided convolutions of 1x1 pixels, which oneDNN computes wrongly for few channels
in the channels-last format, with two threads."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from mmdckd.models.memory_format import use_channels_last

SCRIPT = """
import sys
import torch
from torch import nn
from mmdckd.models.memory_format import use_channels_last

torch.set_num_threads(2)
channels, stride, batch = map(int, sys.argv[1:])
nets = []
for fast in (False, True):
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, channels, 3, padding=1), nn.Conv2d(channels, 16, 1, stride)
    )
    if fast:
        use_channels_last(net)
        use_channels_last(net)  # as after an initialization
    images = torch.randn(batch, 3, 16, 16)
    if fast:
        images = images.contiguous(memory_format=torch.channels_last)
    for _ in range(50):
        net(images).square().mean().backward()
    nets.append(net)
for one, other in zip(*(net.parameters() for net in nets)):
    torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-4)
print('equal')
"""


@pytest.mark.parametrize(
    'channels, stride, batch', [(8, 2, 39), (4, 2, 13), (15, 2, 39)]
)
@pytest.mark.slow
def test_gradients_are_right_with_two_threads(channels, stride, batch):
    run = subprocess.run(
        [sys.executable, '-c', SCRIPT, *map(str, (channels, stride, batch))],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.stdout == 'equal\n', (run.returncode, run.stderr[-500:])


def test_other_convolutions_are_converted():
    net = nn.Sequential(
        nn.Conv2d(8, 16, 3, 2), nn.Conv2d(16, 16, 1, 2), nn.Conv2d(8, 16, 1)
    )
    use_channels_last(net)
    assert not any(conv._forward_pre_hooks for conv in net)
    assert net[0].weight.is_contiguous(memory_format=torch.channels_last)
