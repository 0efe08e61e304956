# Copyright (c) mmdckd contributors. All rights reserved.
"""Compare ways to run four small students: one by one, or all in one pass.

ResNet-56 teaches 4 x ResNet-20 at 32x32 with DCKDLoss: a whole step, with the
teacher, the loss, backward and SGD, by hand. The students run

- `separate`: one after the other; `grouped`: as one network of grouped
  convolutions; `vmap`: by `torch.func`, over stacked weights; `_last`: with
  channels last;
- `..._graph`: the whole step as one CUDA graph;
- `..._compiled`: teacher, students and loss by `torch.compile`;
  `..._overhead`: by its mode 'reduce-overhead'; `..._compiled_graph`: compiled
  and as one CUDA graph.

The logits after one step check that all ways compute the same.
"""

from typing import Callable, Dict, Optional

import torch
from fused_students import CLASSES, WAYS, Student, Way
from hand import dckd
from measure import Context, alternate, milliseconds, peak_mib, ratio

N = 4


class Step:
    """A training step.

    Args:
        way (Way): How the students run.
        teacher (nn.Module): Their teacher.
        fused (bool): Whether SGD is one kernel.
        compiled (str, optional): The mode of ``torch.compile``. Defaults to
            None: nothing is compiled.
        dtype (torch.dtype, optional): The type of autocast. Defaults to None:
            float32.
    """

    def __init__(
        self,
        way: Way,
        teacher: torch.nn.Module,
        fused: bool,
        compiled: Optional[str] = None,
        dtype: Optional[torch.dtype] = None,
    ) -> None:
        self.way, self.teacher, self.dtype = way, teacher, dtype
        self.optimizer = torch.optim.SGD(
            way.parameters, lr=0.01, momentum=0.9, fused=fused
        )
        self.forward: Callable = self._forward
        if compiled:
            self.forward = torch.compile(self._forward, mode=compiled)

    def _forward(self, images, labels) -> torch.Tensor:
        with torch.no_grad():
            teacher = self.teacher(images)
        return dckd(self.way.logits(images), teacher, labels)

    def __call__(self, images, labels) -> None:
        with torch.autocast(
            images.device.type,
            dtype=self.dtype or torch.bfloat16,
            enabled=self.dtype is not None,
            cache_enabled=False,
        ):
            loss = self.forward(images, labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def graphed(self, images, labels) -> Callable[[], None]:
        """Record the step as one CUDA graph."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self(images, labels)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self(images, labels)
        return graph.replay


def measure(context: Context) -> None:
    """Without a compiler: eager and CUDA graphs."""
    for batch, dtype in _batches(context):
        if context.left > 1:
            _measure(context, batch, dtype, [''], list(WAYS))


def measure_compiled(context: Context) -> None:
    """With a compiler, the most promising first."""
    names = ['grouped', 'separate', 'separate_last', 'grouped_last', 'vmap']
    for batch, dtype in _batches(context)[:1]:
        for name in names:
            if context.left > 5:
                _measure(context, batch, dtype, ['', 'default', 'overhead'], [name])


def _batches(context: Context) -> list:
    if context.mini:
        return [(4, None)]
    if not context.cuda:
        return [(8, None)]
    return [
        (64, None),
        (256, None),
        (1024, None),
        (64, torch.bfloat16),
        (256, torch.bfloat16),
    ]


def _measure(context: Context, batch: int, dtype, modes: list, names: list) -> None:
    torch._dynamo.reset()
    torch.manual_seed(0)
    students = [Student().train().to(context.device) for _ in range(N)]
    teacher = Student(56).eval().to(context.device)
    images = torch.randn(batch, 3, 32, 32, device=context.device)
    labels = torch.randint(CLASSES, (batch,), device=context.device)
    ways: Dict[str, Callable] = {}
    differs, failed = {}, {}
    # The reference of all comparisons.
    base = Step(WAYS['separate'](students), teacher, context.cuda, dtype=dtype)
    base(images, labels)
    expected = base.way.logits(images).detach()
    ways['separate'] = lambda: base(images, labels)
    for name in names:
        for mode in modes:
            torch_mode = dict(overhead='reduce-overhead').get(mode, mode)
            label = f'{name}_{mode}'.rstrip('_').replace('default', 'compiled')
            try:
                step = Step(
                    WAYS[name](students),
                    teacher,
                    context.cuda,
                    torch_mode or None,
                    dtype,
                )
                step(images, labels)
                logits = step.way.logits(images).detach()
                differs[label] = float((logits - expected).abs().max())
                ways[label] = lambda step=step: step(images, labels)
                if context.cuda and mode != 'overhead':
                    graphed = Step(
                        WAYS[name](students), teacher, True, torch_mode or None, dtype
                    )
                    ways[f'{label}_graph'] = graphed.graphed(images, labels)
            except Exception as error:
                failed[label] = f'{type(error).__name__}: {error}'[:300]
    seconds = alternate(context, ways, 7, context.left / 3)
    context.write(
        'students',
        N=N,
        B=batch,
        precision='fp32' if dtype is None else 'bf16',
        ms={name: milliseconds(t) for name, t in seconds.items()},
        speed_up={name: ratio(seconds['separate'], t) for name, t in seconds.items()},
        peak_mib={name: peak_mib(context, way) for name, way in ways.items()},
        differs_by=differs,
        failed=failed,
    )
