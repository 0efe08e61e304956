# Copyright (c) mmdckd contributors. All rights reserved.
import os
import subprocess
import sys

import pytest
import torch

SCRIPT = """
import resource
import mmdckd
import torch
from mmdckd.engine.memory import keep_freed_memory

def step():
    graph = [torch.ones(2**21) for _ in range(20)]  # 8 MiB each
    return sum(float(tensor[0]) for tensor in graph)

kept = keep_freed_memory()
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    assert step() == 20
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(kept, faults)
"""


def run(**environment):
    output = subprocess.run(
        [sys.executable, '-c', SCRIPT],
        env=dict(os.environ, **environment),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    return output[0] == 'True', int(output[1])


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != 'linux' or torch.cuda.is_available(),
    reason='for trainings on the CPU, with glibc',
)
def test_what_was_freed_is_used_again_unless_the_environment_says_otherwise():
    kept, few = run()
    left, many = run(MALLOC_ARENA_MAX='2')
    assert kept and not left
    assert few < many / 10
