# Copyright (c) mmdckd contributors. All rights reserved.
from mmrazor.models.architectures.backbones.wideresnet import WideResNet

from mmdckd.registry import MODELS


@MODELS.register_module()
class CIFARWideResNet(WideResNet):
    """Wide residual network for 32x32 images, as in the CRD benchmark.

    MMRazor's :class:`WideResNet`, WRN-depth-factor of `Wide Residual Networks
    <https://arxiv.org/abs/1605.07146>`_ (Zagoruyko and Komodakis, BMVC 2016),
    with the benchmark's widths; by default, channels are not widened.

    Args:
        depth (int): 10, 16, 22, 28 or 40.
        widen_factor (int): Factor on the 16, 32 and 64 channels of the three
            stages. Defaults to 1.
        **kwargs: Other arguments of MMRazor's ``WideResNet``.

    Raises:
        KeyError: If ``depth`` has another value.

    Examples:
        >>> import torch
        >>> net = CIFARWideResNet(depth=40, widen_factor=2)
        >>> [tuple(x.shape) for x in net(torch.rand(1, 3, 32, 32))]
        [(1, 128, 8, 8)]
    """

    def __init__(self, depth: int, widen_factor: int = 1, **kwargs) -> None:
        super().__init__(depth, widen_factor, **kwargs)
