# Copyright (c) mmdckd contributors. All rights reserved.
"""Completes, in the process that saves, the states of students of others."""

from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Dict, Iterator, List, Tuple

import torch
import torch.distributed as dist
from mmengine.device import get_device
from mmengine.hooks import EMAHook
from torch import nn

from mmdckd.models.cohorts.cohort_mesh import CohortMesh, as_bytes

from ..unwrapping import unwrapped

#: The model of a state, or :data:`OPTIMIZER` and the index of a parameter; and
#: the name of the value.
Key = Tuple[Any, str]
#: The shape and the type of a tensor that is sent.
Form = Tuple[Tuple[int, ...], torch.dtype]

OPTIMIZER = 'optimizer'


@contextmanager
def whole_states(runner) -> Iterator[None]:
    """Make the state dicts of model, averages and optimizer complete inside this
    context, in the main process.

    All processes must enter it. Values of students that other processes hold
    arrive one by one, and stay on the CPU.

    Args:
        runner (Runner): The runner.
    """
    mesh = unwrapped(runner.model).exchange.mesh
    optimizer = runner.optim_wrapper.optimizer
    models = models_of(runner)
    received = _collect(_held(models, optimizer), mesh)
    with ExitStack() as stack:
        if received:
            for index, model in enumerate(models):
                hook = partial(_complete_model, received, index)
                stack.callback(model.register_state_dict_post_hook(hook).remove)
            hook = partial(_complete_optimizer, received)
            stack.callback(optimizer.register_state_dict_post_hook(hook).remove)
        yield


def models_of(runner) -> List[nn.Module]:
    """Return the model of a run, and its averages if it has any."""
    averages = [
        hook.ema_model.module
        for hook in runner.hooks
        if isinstance(hook, EMAHook) and hasattr(hook, 'ema_model')
    ]
    return [unwrapped(runner.model), *averages]


def _held(models: List[nn.Module], optimizer: torch.optim.Optimizer) -> Dict[Key, Any]:
    """Return the values that this process holds."""
    content: Dict[Key, Any] = {
        (index, name): value
        for index, model in enumerate(models)
        for name, value in model.state_dict().items()
        if not is_meta(value)
    }
    parameters = [p for group in optimizer.param_groups for p in group['params']]
    for index, parameter in enumerate(parameters):
        if not parameter.is_meta:
            for name, value in optimizer.state.get(parameter, {}).items():
                content[(OPTIMIZER, index), name] = value
    return content


def is_meta(value: Any) -> bool:
    """Return whether a value of a state dict is a tensor of another process."""
    return getattr(value, 'is_meta', False)


def _collect(content: Dict[Key, Any], mesh: CohortMesh) -> Dict[Key, Any]:
    """Send what this process holds to the main process.

    Returns:
        Dict[Key, Any]: What the main process received of its peers.
    """
    if not mesh.saves:
        return {}
    forms = {
        key: (tuple(value.shape), value.dtype)
        if isinstance(value, torch.Tensor)
        else value
        for key, value in content.items()
    }
    all_forms: List[Any] = [None] * mesh.size
    dist.all_gather_object(all_forms, forms, group=mesh.peers)
    if mesh.place:
        for value in content.values():
            if isinstance(value, torch.Tensor):
                dist.send(as_bytes(value.to(get_device())), None, mesh.peers, 0, 0)
        return {}
    received: Dict[Key, Any] = {}
    for place, forms in enumerate(all_forms[1:], 1):
        for key, form in forms.items():
            value = _receive(form, place, mesh) if _is_form(form) else form
            if key not in content:
                received[key] = value
    return received


def _is_form(form: Any) -> bool:
    return isinstance(form, tuple) and isinstance(form[-1], torch.dtype)


def _receive(form: Form, place: int, mesh: CohortMesh) -> torch.Tensor:
    shape, dtype = form
    size = torch.Size(shape).numel() * dtype.itemsize
    data = torch.empty(size, dtype=torch.uint8, device=get_device())
    dist.recv(data, group=mesh.peers, group_src=place)
    return data.cpu().view(dtype).reshape(shape)


def _complete_model(
    received: Dict[Key, Any],
    index: int,
    model: nn.Module,
    state_dict: dict,
    prefix: str,
    metadata: dict,
) -> None:
    for key, value in state_dict.items():
        if is_meta(value):
            state_dict[key] = received[index, key[len(prefix) :]]


def _complete_optimizer(
    received: Dict[Key, Any], optimizer: torch.optim.Optimizer, state_dict: dict
) -> None:
    states: Dict[int, dict] = {}
    for (owner, name), value in received.items():
        if isinstance(owner, tuple):
            states.setdefault(owner[1], {})[name] = value
    state_dict['state'].update(states)
