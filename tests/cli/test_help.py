# Copyright (c) mmdckd contributors. All rights reserved.
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from helpers.commands import TOOLS, call

#: What users call: not what others import.
SCRIPTS = sorted(
    path for path in Path(TOOLS).rglob('*.py') if "== '__main__'" in path.read_text()
)
SHELL_SCRIPTS = sorted(Path(TOOLS).glob('*.sh'))


def help_of(path):
    return call(sys.executable, '-W', 'ignore', str(path), '--help', FORCE_COLOR='')


def has_example(path, text):
    return f'tools{os.sep}{path.relative_to(TOOLS)}' in text.split('example')[-1]


@pytest.mark.slow
def test_every_tool_helps_with_an_example():
    assert Path(TOOLS, 'train.py') in SCRIPTS
    with ThreadPoolExecutor(2) as pool:
        for path, done in zip(SCRIPTS, pool.map(help_of, SCRIPTS)):
            assert done.returncode == 0, (path, done.stderr)
            assert done.stdout.startswith('usage: '), path
            assert 'example' in done.stdout, path
            assert has_example(path, done.stdout), path
            assert '\x1b' not in done.stdout


def test_so_does_every_shell_script():
    assert len(SHELL_SCRIPTS) == 2
    for path in SHELL_SCRIPTS:
        done = call('bash', str(path), '--help')
        assert done.returncode == 0, (path, done.stderr)
        assert not done.stderr and 'example:' in done.stdout, path
        assert has_example(path, done.stdout), path
