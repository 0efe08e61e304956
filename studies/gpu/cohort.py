# Copyright (c) mmdckd contributors. All rights reserved.
"""Time a step of four students: with the runner, in plain PyTorch, and others.

All of these alternate in one process:

- `cohort`: the real runner, with all hooks of `configs/_base_/cohort.py` and
  channels last; `cohort_contiguous`: without the latter; `cohort_fused`: with
  SGD in one kernel; `cohort_benchmark`: with cudnn's benchmark;
  `cohort_eager`: without CUDA graphs, which it has by default;
  `cohort_unchecked`: without a look at the losses;
- `hand`: the same mathematics in a plain loop, which has channels last and
  SGD in one kernel; `hand_benchmark`; `hand_graph`: as one CUDA graph;
- `single`: MMRazor's SingleTeacherDistill, one student; four runs are four
  times that; `timm`: the same of timm's distillation task; `teacher`: the
  forward pass of the teacher alone, which a cache of its logits saves;
- `cohort_compiled`: MMEngine's `compile=True`; `hand_compiled`,
  `hand_compiled_graph`.
"""

from typing import Callable, Dict, Sequence

import torch
from building import (
    DTYPES,
    Run,
    Setting,
    build_hand,
    build_run,
    build_single,
    build_timm,
    setting_32,
    setting_224,
    stepping,
)
from hand import GraphedLoop
from measure import Context, alternate, milliseconds, peak_mib, ratio

N = 4


def measure_224(context: Context) -> None:
    """ResNet-34 to 4 x ResNet-18, bfloat16, the large batch first."""
    _measure(context, setting_224, (256, 64) if context.cuda else (2,), 'bf16')


def measure_224_fp16(context: Context) -> None:
    """The same in float16 with a gradient scaler."""
    _measure(context, setting_224, (256, 64) if context.cuda else (2,), 'fp16')


def measure_224_compiled(context: Context) -> None:
    """The same in bfloat16, compiled."""
    _measure_compiled(context, setting_224(context, 256 if context.cuda else 2), 'bf16')


def measure_32(context: Context) -> None:
    """ResNet-56 to 4 x ResNet-20, as the recipes train it: in float32."""
    _measure(context, setting_32, (64, 256) if context.cuda else (8,), 'fp32')


def measure_32_compiled(context: Context) -> None:
    """The same, compiled."""
    _measure_compiled(context, setting_32(context, 64 if context.cuda else 8), 'fp32')


def _measure(
    context: Context, build: Callable, batch_sizes: Sequence[int], precision: str
) -> None:
    settings = [build(context, batch_size) for batch_size in batch_sizes]
    for number, setting in enumerate(settings):
        _compare(
            context, setting, precision, context.left * 0.4 / (len(settings) - number)
        )
    for number, setting in enumerate(settings):
        if not context.mini and context.left > 1:
            _tune(
                context,
                setting,
                precision,
                context.left * 0.7 / (len(settings) - number),
            )


def _compare(
    context: Context, setting: Setting, precision: str, seconds: float
) -> None:
    """Compare with a plain loop and other packages."""
    run, batches, key = _cohort(context, setting, precision)
    single = build_single(context, setting, precision)
    hand = build_hand(context, run, precision)
    ways: Dict[str, Callable] = dict(
        cohort=stepping(run, batches),
        hand=lambda: hand.step(batches[0]),
        single=stepping(single, batches),
        teacher=_teacher(context, run, batches[0], precision),
    )
    if key['image'][0] > 32:
        try:
            timm = build_timm(context, setting, precision, batches[0])
            timm()
            ways['timm'] = timm
        except Exception as error:
            # This study cannot choose the version of timm.
            context.write('no_timm', error=f'{type(error).__name__}: {error}')
    _write(context, key, ways, seconds)


def _tune(context: Context, setting: Setting, precision: str, seconds: float) -> None:
    """Compare with other settings of the cohort."""
    run, batches, key = _cohort(context, setting, precision)
    hand = build_hand(context, run, precision)
    default = build_run(context, setting, setting.collective(N), precision)
    fused = build_run(
        context,
        setting,
        dict(setting.collective(N), channels_last=True),
        precision,
        optim_wrapper=dict(optimizer=dict(fused=True)),
    )
    eager = build_run(
        context,
        setting,
        dict(setting.collective(N), channels_last=True, cuda_graphs=False),
        precision,
    )
    unchecked = build_run(
        context,
        setting,
        dict(setting.collective(N), channels_last=True, check_finite_every=10**6),
        precision,
    )
    ways: Dict[str, Callable] = dict(
        cohort=stepping(run, batches),
        cohort_eager=stepping(eager, batches),
        cohort_unchecked=stepping(unchecked, batches),
        cohort_contiguous=stepping(default, batches),
        cohort_fused=stepping(fused, batches),
        cohort_benchmark=_benchmarked(stepping(run, batches)),
        hand=lambda: hand.step(batches[0]),
        hand_benchmark=_benchmarked(lambda: hand.step(batches[0])),
    )
    if context.cuda and precision != 'fp16':
        ways.update(_graphed(context, 'hand_graph', run, precision, batches))
    _write(context, key, ways, seconds)


def _cohort(context: Context, setting: Setting, precision: str) -> tuple:
    """Return a cohort's run, two batches, and the start of its line of JSON."""
    torch.backends.cudnn.benchmark = False
    run = build_run(
        context, setting, dict(setting.collective(N), channels_last=True), precision
    )
    batches = [run.load() for _ in range(2)]
    return (
        run,
        batches,
        dict(
            image=tuple(batches[0]['inputs'].shape[2:]),
            N=N,
            B=setting.batch_size,
            precision=precision,
        ),
    )


def _teacher(
    context: Context, run: Run, batch: dict, precision: str
) -> Callable[[], None]:
    """Return the forward pass of the teacher alone."""
    images = run.model.data_preprocessor(batch, True)['inputs']
    dtype = DTYPES[precision]

    def forward() -> None:
        with torch.autocast(
            context.device, dtype=dtype or torch.bfloat16, enabled=dtype is not None
        ):
            run.model.teachers[0](images)

    return forward


def _measure_compiled(context: Context, setting, precision: str) -> None:
    run, batches, key = _cohort(context, setting, precision)
    hand = build_hand(context, run, precision)
    ways: Dict[str, Callable] = dict(
        cohort=stepping(run, batches), hand=lambda: hand.step(batches[0])
    )
    by_hand = build_hand(context, run, precision, compiled='default')
    ways['hand_compiled'] = lambda: by_hand.step(batches[0])
    _write(context, key, ways, context.left * 0.5)
    compiled = build_run(
        context,
        setting,
        dict(setting.collective(N), channels_last=True),
        precision,
        compile=True,
    )
    ways['cohort_compiled'] = stepping(compiled, batches)
    _write(context, key, ways, context.left * 0.4)
    if context.cuda:
        ways.update(
            _graphed(
                context,
                'hand_compiled_graph',
                run,
                precision,
                batches,
                compiled='default',
            )
        )
        _write(context, key, ways, context.left * 0.4)


def _graphed(
    context: Context, name: str, run: Run, precision: str, batches: list, **kwargs
) -> Dict[str, Callable]:
    """Return a plain loop as one CUDA graph, if it can be captured."""
    loop = build_hand(context, run, precision, GraphedLoop, **kwargs)
    return _tried(context, name, lambda: loop.step(batches[0]))


def _tried(context: Context, name: str, way: Callable[[], None]) -> Dict[str, Callable]:
    """Return the step by its name, if CUDA can capture its parts."""
    try:
        way()
    except RuntimeError as error:
        context.write('no_graph', name=name, error=str(error)[:500])
        return {}
    return {name: way}


def _benchmarked(way: Callable[[], None]) -> Callable[[], None]:
    """Turn on cudnn's benchmark for this step only."""

    def step() -> None:
        torch.backends.cudnn.benchmark = True
        way()
        torch.backends.cudnn.benchmark = False

    return step


def _write(
    context: Context, key: dict, ways: Dict[str, Callable], limit: float
) -> None:
    """Time the steps for a limited time, and write a line."""
    seconds = alternate(context, ways, seconds=limit)
    number, batch = key['N'], key['B']
    result = {f'{name}_ms': milliseconds(t) for name, t in seconds.items()}
    result.update(
        (f'{name}_peak_mib', peak_mib(context, way)) for name, way in ways.items()
    )
    cohort = seconds['cohort']
    result['rounds'] = len(cohort)
    # Images from the loader; all students see each of them.
    result['cohort_images_per_s'] = round(1e3 * batch / result['cohort_ms'], 1)
    for name, times in seconds.items():
        if name in ('single', 'timm'):
            four = [number * each for each in times]
            result[f'cohort_to_four_{name}'] = ratio(cohort, four)
        elif name not in ('cohort', 'teacher'):
            result[f'{name}_speed_up'] = ratio(cohort, times)
    context.write('step', **key, **result)
