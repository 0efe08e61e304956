# Copyright (c) mmdckd contributors. All rights reserved.
"""How the processes of a run part."""

from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from helpers.processes import run_processes
from helpers.runs import run_config
from mmdckd.cli.run_config import leaving_processes
from mmdckd.engine.cpu_processes import use_cpu_processes


class EndHook(Hook):
    """Ends a run as one that is told to end."""

    def after_train_iter(self, runner, *args, **kwargs):
        raise SystemExit(75)


def threads_of_the_group():
    return sum(
        'gloo' in path.read_text() for path in Path('/proc/self/task').glob('*/comm')
    )


def train(cfg, told):
    use_cpu_processes(cfg)
    runner = Runner.from_cfg(cfg)
    if told:
        runner.register_hook(EndHook())
    assert threads_of_the_group() > 0
    runner.train()


def part(rank, cfg, told):
    """Train; tell how it ended and what threads that left."""
    code = 0
    try:
        with leaving_processes():
            train(cfg, told)
    except SystemExit as ended:
        code = ended.code
    return code, threads_of_the_group()


@pytest.mark.parametrize('told', [pytest.param(False, marks=pytest.mark.slow), True])
def test_no_thread_is_left_to_abort_a_process_that_exits(tmp_path, told):
    cfg = run_config(tmp_path, launcher='pytorch')
    ends = run_processes(part, cfg, told)
    assert ends == [(75 if told else 0, 0)] * 2
