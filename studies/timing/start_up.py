# Copyright (c) mmdckd contributors. All rights reserved.
"""Time the start of `mmdckd train`: processor seconds until the first step.

Each way is a process of its own, and they alternate. `packages` only imports
torch and the models of MMPretrain and MMRazor, which no command can do without.
The others train a digits config with one checkout of the project each, so that
two commits can be compared:

    git worktree add ../before COMMIT
    python studies/timing/start_up.py ../before .
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from typing import Dict, List

CONFIG = 'configs/dckd_r34_r18_digits.py'
IMPORT = """
import time
import mmdckd, mmpretrain.models, mmrazor.models
print('SECONDS', time.process_time(), flush=True)
"""
TRAIN = """
import os, sys, time
from mmdckd.cli.main import main

def first_step(*args, **kwargs):
    print('SECONDS', time.process_time(), flush=True)
    os._exit(0)

from mmdckd.models import CollectiveDistill
CollectiveDistill.train_step = first_step
main(sys.argv[1:])
"""


def seconds(code: str, tree: str, arguments: List[str]) -> float:
    """Run Python code with a checkout, and return the seconds that it prints."""
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code, *arguments],
        cwd=tree,
        env=dict(os.environ, PYTHONPATH=os.path.abspath(tree), OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith('SECONDS')]
    if not lines:
        raise SystemExit(f'error: {tree} has made no step: {done.stderr[-2000:]}')
    return float(lines[0].split()[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('trees', nargs='*', default=['.'], help='the checkouts')
    parser.add_argument('--rounds', type=int, default=7)
    args = parser.parse_args()
    found: Dict[str, List[float]] = {}
    for _ in range(args.rounds):
        found.setdefault('packages', []).append(seconds(IMPORT, args.trees[-1], []))
        for tree in args.trees:
            with tempfile.TemporaryDirectory() as folder:
                options = ['model.teacher_ckpt=None', 'model.allow_random_teacher=True']
                arguments = ['train', CONFIG, '--work-dir', folder, '--cfg-options']
                found.setdefault(tree, []).append(
                    seconds(TRAIN, tree, [*arguments, *options])
                )
    for name, values in found.items():
        row = dict(way=name, median=statistics.median(values), seconds=values)
        print(json.dumps(row))


if __name__ == '__main__':
    main()
