# Copyright (c) mmdckd contributors. All rights reserved.
"""Profile a step: where its time goes, and its share of the GPU's peak."""

import re
from collections import defaultdict
from typing import Callable, Dict, List, Tuple

import torch
from building import build_hand, build_run, setting_32, setting_224, stepping
from measure import Context, alternate, milliseconds
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

STEPS = 3
#: Microseconds between two kernels that are not queued behind each other.
SHORTEST_GAP = 10.0
#: A kernel (or, on a CPU, an operator) belongs to the first family that it matches.
FAMILIES = [
    ('copy', r'memcpy|memset|nchwtonhwc|nhwctonchw|copy|catarray|aten::cat'),
    ('batchnorm', r'batch_?norm|bn_fw|bn_bw|bnorm|welford'),
    ('optimizer', r'multi_tensor|fusedsgd|_sgd_|_foreach|amp_'),
    ('conv', r'conv|wgrad|dgrad|fprop|cudnn|xmma|implicit|winograd'),
    ('matmul', r'gemm|cutlass|aten::(addmm|mm|bmm)|nvjet|splitk'),
    ('loss', r'softmax|nll|kl_div'),
    ('pool', r'pool'),
    ('elementwise', r'elementwise|relu|threshold|aten::(add|mul|sub|div)'),
    ('reduce', r'reduce|aten::(sum|mean)'),
]


def measure(context: Context) -> None:
    """Profile the cohort of both settings."""
    batches = (
        (setting_224, 256 if context.cuda else 2, 'bf16'),
        (setting_32, 64 if context.cuda else 8, 'fp32'),
    )
    for build, batch, precision in batches[-1:] if context.mini else batches:
        _measure(context, build(context, batch), precision)


def _measure(context: Context, setting, precision: str) -> None:
    model = dict(setting.collective(4), channels_last=True)
    run = build_run(context, setting, model, precision)
    loaded = [run.load() for _ in range(2)]
    hand = build_hand(context, run, precision)
    ways = dict(cohort=stepping(run, loaded), hand=lambda: hand.step(loaded[0]))
    if context.cuda:
        eager = build_run(context, setting, dict(model, cuda_graphs=False), precision)
        ways['cohort_eager'] = stepping(eager, loaded)
    seconds = alternate(context, ways, 5, context.left / 4)
    key = dict(
        image=tuple(loaded[0]['inputs'].shape[2:]),
        B=setting.batch_size,
        precision=precision,
    )
    for name, way in ways.items():
        families, kernels, gaps = _kernels(context, way)
        wall = milliseconds(seconds[name])
        busy = sum(families.values())
        context.write(
            'families',
            way=name,
            **key,
            wall_ms=wall,
            kernels_ms=round(busy, 3),
            idle_ms=round(wall - busy, 3),
            launches=sum(count for _, _, count in kernels) / STEPS,
            families_ms={k: round(v, 3) for k, v in families.items()},
            longest=kernels[:25],
            gaps=gaps[:12],
        )
    context.write(
        'share', **key, **_share(context, hand, loaded[0], seconds, precision)
    )


def _kernels(
    context: Context, step: Callable[[], None]
) -> Tuple[Dict[str, float], List[list], List[list]]:
    """Return milliseconds a step by family, all kernels by name, and when the
    device has nothing to do."""
    kind = DeviceType.CUDA if context.cuda else DeviceType.CPU
    activities = [ProfilerActivity.CPU]
    if context.cuda:
        activities = [ProfilerActivity.CUDA, ProfilerActivity.CPU]
    step()
    with profile(activities=activities) as profiler:
        for _ in range(STEPS):
            step()
        context.synchronize()
    families: Dict[str, float] = defaultdict(float)
    kernels = []
    for row in profiler.key_averages():
        if row.device_type != kind or getattr(row, 'is_user_annotation', False):
            continue
        micro = row.self_device_time_total if context.cuda else row.self_cpu_time_total
        if not micro:
            continue
        families[_family(row.key)] += micro / 1e3 / STEPS
        kernels.append((row.key[:120], round(micro / 1e3 / STEPS, 4), row.count))
    kernels.sort(key=lambda row: -row[1])
    families = dict(sorted(families.items(), key=lambda x: -x[1]))
    return families, kernels, _gaps(profiler, kind) if context.cuda else []


def _gaps(profiler: profile, kind: DeviceType) -> List[list]:
    """Return after which kernels and before which the device waits: names,
    milliseconds a step and how often a step, the longest first."""
    events = [
        event
        for event in profiler.events()
        if event.device_type == kind and not getattr(event, 'is_user_annotation', False)
    ]
    events.sort(key=lambda event: event.time_range.start)
    gaps: Dict[tuple, List[float]] = defaultdict(list)
    end, last = None, ''
    for event in events:
        start = event.time_range.start
        if end is not None and start > end + SHORTEST_GAP:
            gaps[last[:80], event.name[:80]].append(start - end)
        if end is None or event.time_range.end > end:
            end, last = event.time_range.end, event.name
    rows = [
        [*names, round(sum(found) / 1e3 / STEPS, 4), len(found) / STEPS]
        for names, found in gaps.items()
    ]
    return sorted(rows, key=lambda row: -row[2])


def _family(name: str) -> str:
    for family, pattern in FAMILIES:
        if re.search(pattern, name, re.IGNORECASE):
            return family
    return 'other'


class _Bytes(TorchDispatchMode):
    """Sums the bytes that each operator reads and writes."""

    VIEWS = (
        'view',
        'expand',
        'transpose',
        'permute',
        'detach',
        'unbind',
        'select',
        'slice',
        'aten::t',
        'as_strided',
        'squeeze',
        'alias',
        'empty',
    )

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        if not any(view in func.name() for view in self.VIEWS):
            self.total += sum(
                x.numel() * x.element_size()
                for x in tree_leaves((args, kwargs, out))
                if isinstance(x, torch.Tensor)
            )
        return out


def _share(context: Context, hand, batch: dict, seconds: dict, precision: str) -> dict:
    """Return the operations and bytes of a step, relative to the GPU's peak."""
    with FlopCounterMode(display=False) as flops:
        hand.step(batch)
    with _Bytes() as moved:
        hand.step(batch)
    dtype = dict(bf16='bfloat16', fp16='float16').get(precision, 'float32')
    rate = (context.known('matmul', dtype=dtype) or {}).get('tflops')
    bandwidth = (context.known('bandwidth') or {}).get('gb_per_s')
    result = dict(
        tflop=round(flops.get_total_flops() / 1e12, 4), gb=round(moved.total / 1e9, 3)
    )
    for name, times in seconds.items():
        milli = milliseconds(times)
        if rate:
            result[f'{name}_of_matmul_rate'] = round(
                result['tflop'] / milli * 1e3 / rate, 4
            )
        if bandwidth:
            result[f'{name}_of_bandwidth'] = round(
                result['gb'] / milli * 1e3 / bandwidth, 4
            )
    return result
