# Copyright (c) mmdckd contributors. All rights reserved.
"""Time DCKDLoss alone, forward and backward, by the number of classes.

- `loss`: the project's; `hand`: written down for stacked logits; and both
  compiled;
- `floor`: what reading all logits once and writing all gradients once takes
  at the bandwidth that was measured.
"""

import torch
from hand import dckd
from measure import Context, alternate, milliseconds, peak_mib, ratio

from mmdckd.models.losses import DCKDLoss

N = 4


def measure(context: Context) -> None:
    """Eager for every number of classes first, then compiled."""
    batch = 256 if context.cuda else 16
    every = (1000,) if context.mini else (1000, 10, 100, 21841)
    for compiled in (False, True):
        if compiled and context.mini:
            return
        for classes in every:
            if context.left > 1:
                _measure(context, batch, classes, compiled)


def _measure(context: Context, batch: int, classes: int, compiled: bool) -> None:
    generator = torch.Generator(context.device).manual_seed(0)
    shape = dict(generator=generator, device=context.device)
    students = torch.randn(N, batch, classes, **shape).requires_grad_()
    teacher = torch.randn(batch, classes, **shape)
    labels = torch.randint(classes, (batch,), **shape)
    loss = DCKDLoss()

    def project(students, teacher):
        terms = loss(list(students.unbind()), teacher)
        return sum(term.sum() for term in terms.values())

    def by_hand(students, teacher):
        return dckd(students, teacher, labels)

    def stepping(function):
        if compiled:
            function = torch.compile(function)

        def step() -> None:
            students.grad = None
            function(students, teacher).backward()

        return step

    ways = dict(loss=stepping(project), hand=stepping(by_hand))
    seconds = alternate(context, ways, 5, context.left / 4)
    moved = 4 * (2 * students.numel() + teacher.numel())
    result = dict(
        peak_mib=peak_mib(context, ways['loss']),
        logits_mib=round(4 * students.numel() / 2**20, 2),
    )
    bandwidth = (context.known('bandwidth') or {}).get('gb_per_s')
    milli = milliseconds(seconds['loss'])
    if bandwidth:
        result['floor_ms'] = round(moved / bandwidth / 1e6, 5)
        result['to_floor'] = round(milli / result['floor_ms'], 2)
    if classes == 1000:
        step = context.known('step', B=batch, precision='bf16')
        if step:
            result['of_step'] = round(milli / step['cohort_ms'], 5)
    context.write(
        'loss',
        N=N,
        B=batch,
        C=classes,
        compiled=compiled,
        loss_ms=milli,
        hand_ms=milliseconds(seconds['hand']),
        to_hand=ratio(seconds['loss'], seconds['hand']),
        **result,
    )
