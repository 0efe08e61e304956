# Copyright (c) mmdckd contributors. All rights reserved.
"""How the networks of the benchmark of CRD start."""

#: Normal, by the fan out: that of MMPretrain's own residual networks.
NORMAL = (
    dict(type='Kaiming', layer='Conv2d'),
    dict(type='Constant', val=1, layer='_BatchNorm'),
)

#: As PyTorch starts convolutions: uniform, by the fan in.
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
