# Copyright (c) mmdckd contributors. All rights reserved.
import fcntl
import json
import logging
import os
from importlib.util import find_spec

# Before torch is imported: two workers of pytest share two cores.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import pytest  # noqa: E402
import torch  # noqa: E402

from helpers import speed  # noqa: E402


def pytest_addoption(parser):
    parser.addoption(
        '--device',
        choices=['cuda', 'cpu'],
        help='where tests/gpu runs (default: cuda where there is one)',
    )
    parser.addoption(
        '--json-lines',
        metavar='FILE',
        help='append how each test ended as soon as it has, for runs that '
        'may be stopped',
    )


class JSONLines:
    """Writes a line for each test, with why it failed and what it measured."""

    def __init__(self, path):
        self.path = path

    def pytest_runtest_logreport(self, report):
        if report.when != 'call' and report.passed:
            return
        line = dict(
            test=report.nodeid,
            outcome=report.outcome,
            seconds=round(report.duration, 2),
            measured=[row for _, row in report.user_properties],
        )
        if report.failed:
            line['why'] = report.longreprtext[-3000:]
        with open(self.path, 'a', encoding='utf-8') as file:
            file.write(json.dumps(line) + '\n')


def pytest_configure(config):
    # With several workers, in the process that hears of all.
    path = config.getoption('--json-lines')
    if path and not hasattr(config, 'workerinput'):
        config.pluginmanager.register(JSONLines(path))
    # Before mmdckd is imported: it mends MMEngine for machines without a GPU.
    if config.getoption('--device') == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''
    elif config.getoption('--device') and not torch.cuda.is_available():
        raise pytest.UsageError('--device cuda: torch sees no GPU')
    if find_spec('hypothesis'):  # not needed, and maybe not there, on a GPU
        from hypothesis import settings

        # How long an example takes says nothing on a machine that others use.
        settings.register_profile('mmdckd', deadline=None)
        settings.load_profile('mmdckd')
    runs_tests = hasattr(config, 'workerinput') or not config.getoption('tx', None)
    if runs_tests:  # not in the process that only hands them out
        import mmdckd  # noqa: F401

        speed.do_once()


def pytest_terminal_summary(terminalreporter):
    """List what the tests in tests/gpu have measured."""
    rows = {}
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, row in getattr(report, 'user_properties', ()):
                if name == 'measured':
                    what, value, limit = row
                    worst = rows.get(what, (float('-inf'), limit))
                    rows[what] = max(value, worst[0]), limit
    if rows:
        terminalreporter.section('measured, and the most that passes')
        for what, (value, limit) in sorted(rows.items()):
            terminalreporter.line(f'{what:<56} {value:<10.3g} {limit:.3g}')


@pytest.fixture(scope='module', autouse=True)
def frozen_imports():
    """Freeze what was imported to collect the tests, and by the modules before."""
    speed.freeze()


@pytest.fixture(autouse=True)
def default_scope():
    """Take back the default scopes that a test has set."""
    from mmengine.registry import DefaultScope

    before = dict(DefaultScope._instance_dict)
    yield
    DefaultScope._instance_dict.clear()
    DefaultScope._instance_dict.update(before)


@pytest.fixture(autouse=True)
def own_names():
    """Hide what MMEngine shares by name: runs of one name that start in the same
    second have one history, and a closed log stays the current one."""
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.visualization import Visualizer

    kinds = (MMLogger, MessageHub, Visualizer)
    before = [dict(kind._instance_dict) for kind in kinds]
    for kind in kinds:
        kind._instance_dict.clear()
    yield
    for kind, instances in zip(kinds, before):
        kind._instance_dict.clear()
        kind._instance_dict.update(instances)


@pytest.fixture(autouse=True)
def loud_logging():
    """Take back the silence of a tool that ran in this process."""
    disabled, level = logging.root.manager.disable, logging.root.level
    yield
    logging.disable(disabled)
    logging.root.setLevel(level)


@pytest.fixture(scope='module')
def rough_figures():
    """Spend less on figures, in a module of tests that do not look at them."""
    with speed.rough_figures():
        yield


@pytest.fixture(scope='session')
def trained(tmp_path_factory):
    """TrainedRun: A cohort of two students, to read; all workers share it."""
    from helpers.runs import TrainedRun

    root = tmp_path_factory.getbasetemp()
    if 'PYTEST_XDIST_WORKER' in os.environ:
        root = root.parent
    with open(root / 'trained.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return TrainedRun(root / 'trained')
