# Copyright (c) mmdckd contributors. All rights reserved.
"""Run a module as CUDA graphs."""

import warnings
from contextlib import contextmanager
from typing import Any, Iterator, List

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.utils._pytree import tree_flatten, tree_unflatten

#: Runs of a backbone before its capture, in which cuDNN and cuBLAS
#: initialize.
WARM_UP = 3


class GraphedModule:
    """Runs the forward and backward pass of a module as two CUDA graphs.

    Args:
        module (nn.Module): The module.
        inputs (Tensor): A batch of the shape of all later ones.
    """

    def __init__(self, module: nn.Module, inputs: torch.Tensor) -> None:
        self.module = module
        self.forward = module.forward
        self.training = module.training
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.inputs = inputs.detach().clone()
        pool = torch.cuda.graph_pool_handle()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        # A frozen teacher has no parameters to train: no backward pass.
        with torch.cuda.stream(stream), torch.set_grad_enabled(bool(self.parameters)):
            for _ in range(WARM_UP):
                self._once()
            with _refusing_to_wait():
                self._once()
        torch.cuda.current_stream().wait_stream(stream)
        with torch.set_grad_enabled(bool(self.parameters)):
            self.forward_graph = torch.cuda.CUDAGraph()
            # Other threads, such as the one that pins memory, keep running.
            with torch.cuda.graph(
                self.forward_graph, pool, capture_error_mode='thread_local'
            ):
                outputs = self.forward(self.inputs)
            self.outputs, self.spec = tree_flatten(outputs)
            self.backward_graph = torch.cuda.CUDAGraph()
            self.grad_outputs = [torch.empty_like(o) for o in self.outputs]
            if self.parameters:
                with torch.cuda.graph(
                    self.backward_graph, pool, capture_error_mode='thread_local'
                ):
                    self.gradients = self._backward(self.outputs, self.grad_outputs)

    def _once(self) -> None:
        outputs, _ = tree_flatten(self.forward(self.inputs))
        self._backward(outputs, outputs)

    def _backward(
        self, outputs: List[torch.Tensor], grad_outputs: List[torch.Tensor]
    ) -> tuple:
        pairs = [(o, g) for o, g in zip(outputs, grad_outputs) if o.requires_grad]
        if not pairs:
            return (None,) * len(self.parameters)
        return torch.autograd.grad(
            [o for o, _ in pairs],
            self.parameters,
            [g for _, g in pairs],
            allow_unused=True,
        )

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Use the graphs as the module's forward pass inside this context.

        Only inside it: a copy of the module would copy the graphs, and with
        them the weights of this module.
        """
        own = vars(self.module)
        # A wrapper, such as that of `cfg.activation_checkpointing`, is kept here too.
        before = own.get('forward')
        self.module.forward = self.replay
        try:
            yield
        finally:
            del self.module.forward
            if before is not None:
                self.module.forward = before

    def replay(self, inputs: torch.Tensor) -> Any:
        """Run the module on a batch by replaying its graph."""
        if (
            self.module.training != self.training
            or inputs.shape != self.inputs.shape
            or inputs.stride() != self.inputs.stride()
        ):
            return self.forward(inputs)
        outputs = Replay.apply(self, inputs, *self.parameters)
        return tree_unflatten(list(outputs), self.spec)


class Replay(torch.autograd.Function):
    """Makes a :class:`GraphedModule` differentiable."""

    @staticmethod
    def forward(
        ctx, graphed: GraphedModule, inputs: torch.Tensor, *parameters: nn.Parameter
    ) -> tuple:
        ctx.graphed = graphed
        graphed.inputs.copy_(inputs)
        graphed.forward_graph.replay()
        if not graphed.parameters:
            # With independent views, a teacher runs several times in a step.
            return tuple(output.clone() for output in graphed.outputs)
        return tuple(output.detach() for output in graphed.outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs: torch.Tensor) -> tuple:
        graphed = ctx.graphed
        for static, grad in zip(graphed.grad_outputs, grad_outputs):
            static.copy_(grad)
        graphed.backward_graph.replay()
        return (
            None,
            None,
            *(None if grad is None else grad.detach() for grad in graphed.gradients),
        )


@contextmanager
def _refusing_to_wait() -> Iterator[None]:
    """Raise an error inside this context where the host waits for the GPU, which
    it cannot do in a capture.

    Raises:
        RuntimeError: If it waits.
    """
    mode = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        # That it does not find every wait; the capture finds the others.
        warnings.simplefilter('ignore')
        torch.cuda.set_sync_debug_mode('error')
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(mode)
