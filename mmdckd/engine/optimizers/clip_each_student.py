# Copyright (c) mmdckd contributors. All rights reserved.
from collections import defaultdict
from typing import Callable, Dict, List

import torch
from mmengine.logging import MessageHub
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from mmdckd.engine.unwrapping import unwrapped
from mmdckd.names import grad_norm, owner_of_parameter, with_stage
from mmdckd.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class ClipEachStudentConstructor(DefaultOptimWrapperConstructor):
    r"""Makes ``clip_grad`` clip each student's gradient separately.

    .. math::
        g_i \leftarrow g_i \min\Bigl(1, \frac{\text{max\_norm}}{\|g_i\|}\Bigr)

    MMEngine clips the norm over all parameters, so a large gradient of one
    student scales down those of the others. Here each student, with its own
    connectors, is clipped as if it were trained alone. What belongs to no
    student (a trainable teacher, parameters of collective losses) is clipped
    separately too.

    The norms are logged as ``grad_norm.<student>``; ``grad_norm`` remains the
    norm over all parameters.

    The arguments are those of :class:`DefaultOptimWrapperConstructor`.

    Raises:
        ValueError: If ``optim_wrapper`` has no ``clip_grad`` that clips a
            norm.

    Examples:
        >>> optim_wrapper = dict(
        ...     constructor='mmdckd.ClipEachStudentConstructor',
        ...     optimizer=dict(type='SGD', lr=0.1),
        ...     clip_grad=dict(max_norm=5.))
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper of a model."""
        wrapper = super().__call__(model)
        if not (wrapper.clip_grad_kwargs and wrapper.grad_name == 'grad_norm'):
            raise ValueError(
                'Invalid `optim_wrapper.clip_grad`: expected dict(max_norm=...) for '
                'ClipEachStudentConstructor, which clips the norm of each '
                f"student's gradient, got {wrapper.clip_grad_kwargs!r}."
            )
        model = unwrapped(model)
        wrapper.clip_func = _ClipEach(model, wrapper.clip_func)
        return wrapper


class _ClipEach:
    """Clips the parameters of each owner, and returns the norm over all."""

    def __init__(self, model: nn.Module, clip: Callable) -> None:
        self._owners = {
            parameter: owner_of_parameter(name)
            for name, parameter in model.named_parameters()
        }
        self._clip = clip
        self._model = model

    def __call__(
        self, parameters: List[nn.Parameter], norm_type: float = 2.0, **kwargs
    ) -> torch.Tensor:
        groups: Dict[str, List[nn.Parameter]] = defaultdict(list)
        for parameter in parameters:
            groups[self._owners[parameter]].append(parameter)
        by_owner = {
            owner: self._clip(group, norm_type=norm_type, **kwargs)
            for owner, group in groups.items()
        }
        exchange = getattr(self._model, 'exchange', None)
        if exchange is not None:
            parts = exchange.mesh.gather(by_owner)
            by_owner = {owner: norm for part in parts for owner, norm in part.items()}
        norms = torch.stack(list(by_owner.values()))
        # PyTorch's clip function also takes 'inf'.
        norm = torch.linalg.vector_norm(norms, float(norm_type))
        # One copy to the CPU, where MMEngine reads the returned value.
        *each, norm = torch.cat([norms, norm[None]]).cpu()
        hub = MessageHub.get_current_instance()
        for owner, value in zip(by_owner, each):
            hub.update_scalar(with_stage('train', grad_norm(owner)), float(value))
        return norm
