# Copyright (c) mmdckd contributors. All rights reserved.
"""Count how often a step of the runner makes the host wait for the GPU, and where.

torch warns of each wait (`torch.cuda.set_sync_debug_mode`), except of direct calls
of `torch.cuda.synchronize`.
"""

import traceback
import warnings
from collections import Counter
from typing import Callable, List

import torch
from building import build_run, build_single, setting_32, stepping
from measure import Context

STEPS = 5
#: Frames of these packages do not help to locate a wait.
INNER = ('/torch/', '/warnings.py', '/studies/gpu/')


def measure(context: Context) -> None:
    """Count the waits in a step of the runner and of MMRazor."""
    setting = setting_32(context, 64 if context.cuda else 8)
    model = dict(setting.collective(4), channels_last=True)
    for precision in ('fp32', 'bf16', 'fp16'):
        run = build_run(context, setting, model, precision)
        _write(
            context, 'cohort', precision, stepping(run, [run.load() for _ in range(2)])
        )
        if context.mini:
            return
    single = build_single(context, setting, 'bf16')
    _write(
        context, 'single', 'bf16', stepping(single, [single.load() for _ in range(2)])
    )


def _write(
    context: Context, way: str, precision: str, step: Callable[[], None]
) -> None:
    for _ in range(3):
        step()
    sites = Counter(_waits(context, step))
    context.write(
        'waits',
        way=way,
        precision=precision,
        per_step=sum(sites.values()) / STEPS,
        sites={site: count / STEPS for site, count in sites.most_common()},
    )


def _waits(context: Context, step: Callable[[], None]) -> List[str]:
    """Return the places where the host waits in some steps."""
    found = []

    def note(message, category, filename, lineno, file=None, line=None):
        if 'called a synchronizing' not in str(message):
            return
        frames = [
            f'{frame.filename.split("site-packages/")[-1]}:{frame.lineno}'
            for frame in traceback.extract_stack()
            if not any(inner in frame.filename for inner in INNER)
        ]
        found.append(' < '.join(reversed(frames[-4:])))

    with warnings.catch_warnings():
        warnings.simplefilter('always')
        warnings.showwarning = note
        if context.cuda:
            torch.cuda.set_sync_debug_mode('warn')
        try:
            for _ in range(STEPS):
                step()
        finally:
            if context.cuda:
                torch.cuda.set_sync_debug_mode('default')
    return found
