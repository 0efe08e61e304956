# Copyright (c) mmdckd contributors. All rights reserved.
"""Initialization configs of the networks of the CRD benchmark."""

#: Normal weights scaled by the fan-out, as in MMPretrain's residual networks.
NORMAL = (
    dict(type='Kaiming', layer='Conv2d'),
    dict(type='Constant', val=1, layer='_BatchNorm'),
)

#: Uniform weights scaled by the fan-in, PyTorch's default for convolutions.
UNIFORM = (
    dict(
        type='Kaiming',
        layer='Conv2d',
        a=5**0.5,
        mode='fan_in',
        nonlinearity='leaky_relu',
        distribution='uniform',
    ),
    dict(type='Constant', val=1, layer='_BatchNorm'),
)
