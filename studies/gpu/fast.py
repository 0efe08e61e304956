# Copyright (c) mmdckd contributors. All rights reserved.
"""Measure the speed of a cohort on a GPU, relative to the peak of the GPU.

Each part runs in its own process with its own time limit. A part that fails or
takes too long costs the others no time, and time that a part does not need goes to
the next ones. Every result is written to `fast.jsonl` immediately, as a line of
JSON.
"""

import argparse
import importlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

#: A part that takes this many times its time limit is ended.
GRACE = 1.3
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: Name to the function and the share of the time, the most important first.
PARTS = dict(
    card=('card:measure', 6),
    cohort_224=('cohort:measure_224', 40),
    syncs=('syncs:measure', 10),
    profile=('profiling:measure', 30),
    students_32=('students:measure', 25),
    loss=('losses:measure', 20),
    cohort_32=('cohort:measure_32', 18),
    students_32_compiled=('students:measure_compiled', 40),
    cohort_224_compiled=('cohort:measure_224_compiled', 45),
    cohort_32_compiled=('cohort:measure_32_compiled', 30),
    validation=('validation:measure', 24),
    jpeg=('jpeg:measure', 16),
    cohort_224_fp16=('cohort:measure_224_fp16', 16),
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--device', choices=['cuda', 'cpu'], default='cuda')
    parser.add_argument('--seconds', type=float, default=240)
    parser.add_argument('--out', type=Path, default=Path('work_dirs/gpu'))
    parser.add_argument('--name', default='fast', help='the name of the files in --out')
    parser.add_argument('--parts', nargs='+', choices=list(PARTS), default=list(PARTS))
    parser.add_argument(
        '--mini', action='store_true', help='make every part as small as possible'
    )
    parser.add_argument('--worker', choices=list(PARTS), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    if args.worker:
        return work(args)
    args.out.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + args.seconds
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with open(args.out / f'{args.name}.log', 'a', encoding='utf-8') as log:
        following = start(args, args.parts[0], log)
        for number, part in enumerate(args.parts):
            process = following
            later = args.parts[number + 1 :]
            # It imports while this part measures, and then waits.
            following = start(args, later[0], log) if later else None
            left = max(1.0, end - time.monotonic())
            shares = sum(PARTS[name][1] for name in [part, *later])
            seconds = left * PARTS[part][1] / shares
            try:
                finished = run(process, part, seconds)
            except SystemExit:
                stop(process)
                if following:
                    stop(following)
                raise
            if not finished:
                print(f'{part}: stopped or failed, see {log.name}', flush=True)


def start(args: argparse.Namespace, part: str, log) -> subprocess.Popen:
    """Start the process of a part, which waits for its time limit."""
    command = [
        sys.executable,
        __file__,
        '--worker',
        part,
        '--device',
        args.device,
        '--out',
        args.out,
        '--name',
        args.name,
    ] + ['--mini'] * args.mini
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        start_new_session=True,
    )


def run(process: subprocess.Popen, part: str, seconds: float) -> bool:
    """Let a part measure for some time, and end it if it takes longer.

    Returns:
        bool: Whether it came to its end.
    """
    process.stdout.readline()  # It has imported, or died.
    begin = time.monotonic()
    try:
        process.communicate(f'{seconds}\n', timeout=seconds * GRACE + 2)
    except subprocess.TimeoutExpired:
        stop(process)
    print(f'{part}: {time.monotonic() - begin:.1f} of {seconds:.1f} s', flush=True)
    return process.returncode == 0


def stop(process: subprocess.Popen) -> None:
    """End a part and all processes that it has started."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def work(args: argparse.Namespace) -> None:
    """Measure a part in its own process."""
    sys.path[:0] = [str(HERE), str(ROOT / 'studies' / 'timing'), str(ROOT)]
    # Before all of OpenMMLab, which it makes work on today's torch.
    from measure import Context

    import mmdckd  # noqa: F401

    module, function = PARTS[args.worker][0].split(':')
    measure = getattr(importlib.import_module(module), function)
    logging.disable(logging.WARNING)
    print('ready', flush=True)
    sys.stdout = sys.stderr
    seconds = float(sys.stdin.readline() or 0)
    file = args.out / f'{args.name}.jsonl'
    with tempfile.TemporaryDirectory() as folder:
        context = Context(
            args.worker, args.device, seconds, file, Path(folder), args.mini
        )
        try:
            measure(context)
        except Exception as error:
            traceback.print_exc()
            context.write('failed', error=f'{type(error).__name__}: {error}')
            raise SystemExit(1) from None
    context.write('finished')


if __name__ == '__main__':
    main()
