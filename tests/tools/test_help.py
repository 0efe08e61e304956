# Copyright (c) mmdckd contributors. All rights reserved.
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from user import TOOLS, call

#: What users call: neither what others import nor what stresses the project.
SCRIPTS = sorted(
    path for path in Path(TOOLS).rglob('*.py')
    if path.parent.name != 'stress' and "== '__main__'" in path.read_text())


def help_of(path):
    return call(
        sys.executable, '-W', 'ignore', str(path), '--help', FORCE_COLOR='')


def test_every_tool_helps_with_an_example():
    assert Path(TOOLS, 'train.py') in SCRIPTS
    with ThreadPoolExecutor(2) as pool:
        for path, done in zip(SCRIPTS, pool.map(help_of, SCRIPTS)):
            name = path.relative_to(TOOLS)
            assert done.returncode == 0, (name, done.stderr)
            assert done.stdout.startswith('usage: '), name
            assert 'example' in done.stdout, name
            assert f'tools{os.sep}{name}' in done.stdout.split('example')[-1]
            assert '\x1b' not in done.stdout
