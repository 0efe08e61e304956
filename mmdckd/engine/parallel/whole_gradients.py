# Copyright (c) mmdckd contributors. All rights reserved.
"""What an optimizer does with the gradients of all students together."""

from typing import Any, Dict, List, Optional

import torch
import torch.distributed as dist
from mmengine.device import get_device
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grads_with_norm_, get_total_norm

from mmdckd.models.cohorts.cohort_mesh import CohortMesh


def see_all_gradients(wrapper: OptimWrapper, mesh: CohortMesh) -> None:
    """Make an optimizer wrapper clip, and skip steps, by the gradients of all
    students.

    Args:
        wrapper (OptimWrapper): The wrapper of the students of this process.
        mesh (CohortMesh): The processes.
    """
    if wrapper.clip_grad_kwargs and wrapper.clip_func is clip_grad_norm_:
        wrapper.clip_func = _ClipAll(mesh)
    if isinstance(wrapper, AmpOptimWrapper) and wrapper.loss_scaler.is_enabled():
        scaler = wrapper.loss_scaler
        wrapper.loss_scaler = _SharedScaler(
            mesh,
            device=get_device(),
            init_scale=scaler.get_scale(),
            growth_factor=scaler.get_growth_factor(),
            backoff_factor=scaler.get_backoff_factor(),
            growth_interval=scaler.get_growth_interval(),
        )


class _ClipAll:
    """Clips the norm over the gradients of all students, like
    :func:`torch.nn.utils.clip_grad_norm_`."""

    def __init__(self, mesh: CohortMesh) -> None:
        self._mesh = mesh

    def __call__(
        self,
        parameters: List[nn.Parameter],
        max_norm: float,
        norm_type: float = 2.0,
        error_if_nonfinite: bool = False,
        foreach: Optional[bool] = None,
    ) -> torch.Tensor:
        gradients = [x.grad for x in parameters if x.grad is not None]
        own = get_total_norm(gradients, norm_type, False, foreach)
        parts = self._mesh.gather({'norm': own})
        norm = get_total_norm(
            [part['norm'] for part in parts], norm_type, error_if_nonfinite, foreach
        )
        clip_grads_with_norm_(parameters, max_norm, norm, foreach)
        return norm


class _SharedScaler(torch.amp.GradScaler):
    """Skips a step if a gradient of any student is not finite, so that the scale
    is the same in all processes."""

    def __init__(self, mesh: CohortMesh, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._mesh = mesh

    def _unscale_grads_(self, *args: Any) -> Dict[torch.device, torch.Tensor]:
        # Called once a step, by `unscale_` or, with fused optimizers, by `step`.
        found = super()._unscale_grads_(*args)
        for found_inf in found.values():
            dist.all_reduce(found_inf, dist.ReduceOp.MAX, self._mesh.peers)
        return found
