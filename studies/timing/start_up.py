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
from pathlib import Path
from typing import Dict, List

CONFIG = """
_base_ = '{tree}/configs/dckd_r34_r18_digits.py'
model = dict(teacher_ckpt=None, allow_random_teacher=True)
custom_imports = dict(imports='first_step', allow_failed_imports=False)
"""
#: Imported by the config, so that the command imports the toolbox as usual.
FIRST_STEP = """
import os, time
from mmdckd.models import CollectiveDistill

def first_step(*args, **kwargs):
    print('SECONDS', time.process_time(), flush=True)
    os._exit(0)

CollectiveDistill.train_step = first_step
"""
IMPORT = """
import time
import mmdckd, mmpretrain.models, mmrazor.models
print('SECONDS', time.process_time(), flush=True)
"""
TRAIN = """
import sys
from mmdckd.cli.main import main
main(sys.argv[1:])
"""


def seconds(code: str, tree: str, folder: str, *arguments: str) -> float:
    """Run Python code and return the seconds that it prints.

    Args:
        code (str): The code.
        tree (str): The checkout to run it with.
        folder (str): A folder of modules that it may import.
        *arguments (str): Its arguments.
    """
    path = os.pathsep.join([os.path.abspath(tree), folder])
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-c', code, *arguments],
        cwd=tree,
        env=dict(os.environ, PYTHONPATH=path, OMP_NUM_THREADS='1'),
        capture_output=True,
        text=True,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith('SECONDS')]
    if not lines:
        raise SystemExit(f'error: {tree} has made no step: {done.stderr[-2000:]}')
    return float(lines[0].split()[1])


def start(tree: str) -> float:
    """Return the seconds until the first step of a training with a checkout."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, 'digits.py')
        config.write_text(CONFIG.format(tree=os.path.abspath(tree)))
        Path(folder, 'first_step.py').write_text(FIRST_STEP)
        work_dir = os.path.join(folder, 'run')
        arguments = ('train', str(config), '--work-dir', work_dir)
        return seconds(TRAIN, tree, folder, *arguments)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('trees', nargs='*', default=['.'], help='the checkouts')
    parser.add_argument('--rounds', type=int, default=7)
    args = parser.parse_args()
    found: Dict[str, List[float]] = {}
    for _ in range(args.rounds):
        found.setdefault('packages', []).append(seconds(IMPORT, args.trees[-1], ''))
        for tree in args.trees:
            found.setdefault(tree, []).append(start(tree))
    for name, values in found.items():
        row = dict(way=name, median=statistics.median(values), seconds=values)
        print(json.dumps(row))


if __name__ == '__main__':
    main()
