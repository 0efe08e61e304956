# Copyright (c) mmdckd contributors. All rights reserved.
"""What a user does with the tools: run them from the repository."""

import json
import os
import os.path as osp
import socket
import subprocess
import sys

from helpers import warm
from helpers.paths import ROOT

REPO = str(ROOT)
TOOLS = osp.join(REPO, 'tools')
TEACHER = osp.join('configs', 'teachers', 'resnet34_digits.py')
COHORT = osp.join('configs', 'dckd_r34_r18_digits.py')
STUDENTS = [f'student{i}' for i in range(4)]


def start(*command, stderr=subprocess.STDOUT, **environment):
    """Start a command; on the CPU, so that scores can be compared."""
    binaries = osp.dirname(sys.executable)
    return subprocess.Popen(
        command,
        cwd=REPO,
        env={
            **os.environ,
            'CUDA_VISIBLE_DEVICES': '',
            'PATH': binaries + os.pathsep + os.environ['PATH'],
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def call(*command, **environment):
    """Run a command to its end."""
    process = start(*command, stderr=subprocess.PIPE, **environment)
    printed = process.communicate()
    return subprocess.CompletedProcess(command, process.returncode, *printed)


def run(*command, **environment):
    """Run a command that should succeed, and return what it prints."""
    process = call(*command, **environment)
    printed = process.stdout + process.stderr
    assert process.returncode == 0, printed[-4000:]
    return printed


def call_tool(name, *arguments, **environment):
    """Call a tool, in a process that need not import the toolbox."""
    path = osp.join('tools', name)
    return call(warm.python(), path, *map(str, arguments), **environment)


def run_tool(name, *arguments):
    """The same of a tool that should succeed; returns what it prints."""
    return run(warm.python(), osp.join('tools', name), *map(str, arguments))


def warm_path(*folders):
    """A search path whose ``python`` has imported the toolbox already."""
    folders = *map(str, folders), osp.dirname(warm.python())
    return os.pathsep.join([*folders, os.environ['PATH']])


def free_port():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return str(sock.getsockname()[1])


def scalars(work_dir):
    """What was logged of the iterations and the validations of each run in a
    folder, in order."""
    runs = []
    for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        runs.append(
            ([r for r in records if 'lr' in r], [r for r in records if 'lr' not in r])
        )
    return runs
