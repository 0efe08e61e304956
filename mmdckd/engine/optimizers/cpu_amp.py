# Copyright (c) mmdckd contributors. All rights reserved.
from contextlib import contextmanager
from typing import Iterator, Optional, Union

import torch
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from mmdckd.errors import invalid
from mmdckd.registry import OPTIM_WRAPPERS

_DTYPES = dict(bfloat16=torch.bfloat16, float16=torch.float16)


def amp_type() -> str:
    """Return the type of ``optim_wrapper`` for mixed precision on this device."""
    return 'mmdckd.CPUAmpOptimWrapper' if get_device() == 'cpu' else 'AmpOptimWrapper'


@OPTIM_WRAPPERS.register_module()
class CPUAmpOptimWrapper(AmpOptimWrapper):
    """Mixed precision on the CPU, which MMEngine's ``AmpOptimWrapper`` rejects.

    ``mmdckd train --amp`` uses it if there is no accelerator.

    Args:
        loss_scale (str | float | dict): 'dynamic', a constant scale, or the
            arguments of ``torch.amp.GradScaler``. Defaults to 'dynamic'.
        dtype (str | torch.dtype, optional): 'bfloat16' or 'float16'. Defaults
            to None, which means bfloat16.
        **kwargs: Arguments of MMEngine's ``OptimWrapper``.

    Raises:
        TypeError: If ``loss_scale`` is anything else.
        ValueError: If ``dtype`` is anything else.
    """

    def __init__(
        self,
        loss_scale: Union[str, float, dict] = 'dynamic',
        dtype: Union[str, torch.dtype, None] = None,
        **kwargs,
    ) -> None:
        # Skip AmpOptimWrapper.__init__, which asserts that there is an accelerator.
        OptimWrapper.__init__(self, **kwargs)
        self._scale_update_param: Optional[float] = None
        if isinstance(loss_scale, float):
            self._scale_update_param = loss_scale
            loss_scale = dict(init_scale=loss_scale)
        elif loss_scale == 'dynamic':
            loss_scale = {}
        if not isinstance(loss_scale, dict):
            raise TypeError(
                "Invalid `optim_wrapper.loss_scale`: expected 'dynamic', a float or "
                f'a dict, got {loss_scale!r}.'
            )
        self.loss_scaler = torch.amp.GradScaler('cpu', **loss_scale)
        if dtype not in (None, *_DTYPES, *_DTYPES.values()):
            raise invalid('optim_wrapper.dtype', "'bfloat16' or 'float16'", dtype)
        self.cast_dtype = _DTYPES[dtype] if isinstance(dtype, str) else dtype

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass of a model in mixed precision."""
        autocast = torch.autocast('cpu', self.cast_dtype or torch.bfloat16)
        with OptimWrapper.optim_context(self, model), autocast:
            yield
