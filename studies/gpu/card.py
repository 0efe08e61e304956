# Copyright (c) mmdckd contributors. All rights reserved.
"""Measure the bandwidth and the matmul rates of the GPU."""

import platform
import subprocess
from functools import partial

import torch
from measure import Context, alternate, milliseconds


def measure(context: Context) -> None:
    """Write a description of the machine, its bandwidth and its matmul rates."""
    context.write('machine', **_machine(context))
    size = 2**20 if context.mini else 2**24 if not context.cuda else 2**28
    source = torch.ones(size, device=context.device)
    target = torch.empty_like(source)
    copying = alternate(context, dict(copy=partial(target.copy_, source)))
    milli = milliseconds(copying['copy'])
    # A copy reads and writes every byte.
    context.write('bandwidth', gb_per_s=round(2 * 4 * size / milli / 1e6, 1), ms=milli)
    del source, target
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        side = 8192 if context.cuda else 256
        a = torch.ones(side, side, device=context.device, dtype=dtype)
        multiplying = alternate(context, dict(matmul=partial(torch.mm, a, a)))
        milli = milliseconds(multiplying['matmul'])
        context.write(
            'matmul',
            dtype=str(dtype).split('.')[-1],
            side=side,
            tflops=round(2 * side**3 / milli / 1e9, 2),
        )


def _machine(context: Context) -> dict:
    known = dict(
        python=platform.python_version(),
        torch=torch.__version__,
        device=context.device,
        threads=torch.get_num_threads(),
    )
    if not context.cuda:
        return known
    properties = torch.cuda.get_device_properties(0)
    driver = subprocess.run(
        ['nvidia-smi', '--query-gpu=driver_version', '--format=csv,noheader'],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    return dict(
        known,
        card=properties.name,
        memory_gib=round(properties.total_memory / 2**30, 1),
        multiprocessors=properties.multi_processor_count,
        driver=driver,
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
        tf32=dict(
            matmul=torch.backends.cuda.matmul.allow_tf32,
            conv=torch.backends.cudnn.allow_tf32,
        ),
    )
