# Copyright (c) mmdckd contributors. All rights reserved.
"""Run backbones as CUDA graphs."""

import copy
import random
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any, ContextManager, Iterator, List, Optional

import numpy as np
import torch
from torch import nn

from mmdckd.console.messages import warn

from ..cohorts.student_cohort import StudentCohort
from ..memory_format import to_contiguous
from ..teachers import FrozenTeacher
from .buffer_snapshot import BufferSnapshot
from .graphed_module import GraphedModule


class CUDAGraphs:
    """Runs the backbones of a cohort and its teachers as CUDA graphs.

    A small network spends its time waiting for the host to launch kernels one
    by one. A CUDA graph launches all kernels of a forward or backward pass at
    once. The kernels are the same, so results are bitwise equal.

    The graphs are captured with the first batch on a GPU. A batch of another
    shape, such as the last one of an epoch, runs without graphs, and so does
    everything outside a training step. Graphs need a single process, frozen
    teachers and a distiller that records only logits; on a CPU they have no
    effect. See `CUDA graphs
    <https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs>`_.

    Args:
        cohort (StudentCohort): The students.
        teachers (List[FrozenTeacher]): The teachers.
    """

    def __init__(self, cohort: StudentCohort, teachers: List[FrozenTeacher]) -> None:
        self._cohort = cohort
        self._teachers = teachers
        self._forget()

    def _forget(self) -> None:
        self._enabled = True
        self._modules: List[nn.Module] = []
        self._graphed: List[GraphedModule] = []
        self._kind: Optional[tuple] = None
        self._captured: list = []

    def __deepcopy__(self, memo: dict) -> 'CUDAGraphs':
        """Copy without the graphs: a copy of the model, such as an EMA, has its
        own weights."""
        copied = copy.copy(self)
        copied._cohort = copy.deepcopy(self._cohort, memo)
        copied._forget()
        return copied

    @contextmanager
    def replaying(self, inputs: torch.Tensor) -> Iterator[None]:
        """Run backbones as graphs inside this context.

        Args:
            inputs (Tensor): The images (B, 3, H, W) of the students.
        """
        if not self._enabled or not inputs.is_cuda:
            yield
            return
        if self._kind is None or self._captured != _state(self._modules):
            self._capture(inputs)
        if self._kind != _kind(inputs):
            yield
            return
        self._own_gradients()
        with ExitStack() as stack:
            for graphed in self._graphed:
                stack.enter_context(graphed.in_place())
            yield

    def _capture(self, inputs: torch.Tensor) -> None:
        self._forget()
        networks = [student for _, student in self._cohort.items()]
        networks += [teacher.model for teacher in self._teachers]
        backbones = [
            backbone
            for network in networks
            if isinstance(backbone := getattr(network, 'backbone', None), nn.Module)
        ]
        # Hooks look inside the others.
        free = [each for each in backbones if not any(map(_has_hooks, each.modules()))]
        try:
            with _leaving_no_trace():
                self._graphed = _capture(free, inputs)
        except RuntimeError as error:
            self._enabled = False
            warn(f'Training continues without CUDA graphs: {error}')
            return
        self._modules = [m for backbone in backbones for m in backbone.modules()]
        self._captured = _state(self._modules)
        self._kind = _kind(inputs)

    def _own_gradients(self) -> None:
        """Copy accumulated gradients out of the memory that the next replay
        overwrites."""
        for graphed in self._graphed:
            for parameter in graphed.parameters:
                if parameter.grad is not None:
                    parameter.grad = parameter.grad.clone()


def _has_hooks(module: nn.Module) -> bool:
    """Return whether hooks look inside a module, other than one for CPUs alone."""
    if module._forward_hooks or module._backward_hooks:
        return True
    before = module._forward_pre_hooks
    return bool(before) and any(hook is not to_contiguous for hook in before.values())


def _state(modules: List[nn.Module]) -> list:
    """Return what a capture depends on: the parts of modules, the mode of each,
    whether hooks look inside, the addresses of their weights and buffers, and which
    of them train.

    Every step asks for it, so it walks over lists, and not over names, which takes
    several milliseconds.

    Args:
        modules (List[nn.Module]): All modules of the backbones.
    """
    parameters = [p for m in modules for p in m._parameters.values() if p is not None]
    buffers = [b for m in modules for b in m._buffers.values() if b is not None]
    return [
        *[module.training for module in modules],
        *map(_has_hooks, modules),
        *[id(part) for module in modules for part in module._modules.values()],
        *[parameter.requires_grad for parameter in parameters],
        *map(torch.Tensor.data_ptr, parameters),
        *map(torch.Tensor.data_ptr, buffers),
    ]


def _host_random_state() -> tuple:
    """Return the states of the host's random generators, for comparison."""
    numpy: Any = np.random.get_state()
    kind, keys, *position = numpy
    return (
        random.getstate(),
        kind,
        bytes(keys),
        position,
        bytes(torch.default_generator.get_state().numpy()),
    )


def _kind(inputs: torch.Tensor) -> tuple:
    """Return what a batch must share with the captured one."""
    return (
        inputs.shape,
        inputs.stride(),
        inputs.dtype,
        inputs.device,
        torch.is_autocast_enabled('cuda'),
        torch.get_autocast_dtype('cuda'),
    )


@contextmanager
def _leaving_no_trace() -> Iterator[None]:
    """Undo what a failed capture changes in torch.

    Its stream stays the current one, and the generator of the GPU refuses to draw
    numbers until a capture succeeds.
    """
    stream = torch.cuda.current_stream()
    try:
        yield
    except RuntimeError:
        torch.cuda.set_stream(stream)
        with torch.cuda.graph(torch.cuda.CUDAGraph()):
            torch.zeros((), device=stream.device)
        raise


def _capture(backbones: List[nn.Module], inputs: torch.Tensor) -> List[GraphedModule]:
    """Capture every backbone, and undo the side effects of the warm-up."""
    buffers = BufferSnapshot(*backbones)
    buffers.take()
    state = torch.cuda.get_rng_state(inputs.device)
    host = _host_random_state()
    python, numpy = random.getstate(), np.random.get_state()
    torch_host = torch.default_generator.get_state()
    try:
        with torch.autocast(
            'cuda',
            dtype=torch.get_autocast_dtype('cuda'),
            enabled=torch.is_autocast_enabled('cuda'),
            cache_enabled=False,
        ):
            graphed = [GraphedModule(backbone, inputs) for backbone in backbones]
        if _host_random_state() != host:
            raise RuntimeError(
                'a backbone draws random numbers on the host, which a graph would '
                'repeat.'
            )
        return graphed
    finally:
        buffers.restore()
        torch.cuda.set_rng_state(state, inputs.device)
        random.setstate(python)
        np.random.set_state(numpy)
        torch.default_generator.set_state(torch_host)


def replaying(model: Any, inputs: torch.Tensor) -> ContextManager:
    """Run the backbones of a cohort as graphs inside this context, if it has any.

    Args:
        model (CollectiveDistill): The cohort.
        inputs (Tensor): The images (B, 3, H, W) of the students.
    """
    # `compile=True` of a runner replaces the method by a compiled one.
    compiled = 'train_step' in vars(model)
    if model.graphs is None or not model.student_trainable or compiled:
        return nullcontext()
    return model.graphs.replaying(inputs)
