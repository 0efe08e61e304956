# Copyright (c) mmdckd contributors. All rights reserved.
import re
from io import StringIO
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub

from helpers.networks import distil, network
from helpers.runs import run_config
from mmdckd.console.calm_console import CalmConsole
from mmdckd.engine.hooks.console_hook import _best_so_far
from mmdckd.engine.runner.building import build_runner
from mmdckd.evaluation.best_rule import BestRule

METRIC = 'accuracy/top1'


@pytest.mark.parametrize(
    'student0, student1, rule, expected',
    [
        ([90.0, 95.0, 93.0], [91.0, 92.0, 95.0], 'greater', 'student0 (95.00)'),
        ([90.0, 94.0, 95.0], [91.0, 95.0, 93.0], 'greater', 'student1 (95.00)'),
        ([95.0, 94.0], [95.0, 93.0], 'greater', 'student0 (95.00)'),
        ([float('nan'), 94.0], [float('nan'), 96.0], 'greater', 'student1 (96.00)'),
        ([3.0, 2.0, 2.0], [3.0, 2.5, 1.5], 'less', 'student1 (1.50)'),
    ],
)
def test_of_equal_validations_the_first_is_best(
    request, student0, student1, rule, expected
):
    """As `best.pth` has it."""
    choose = max if rule == 'greater' else min
    hub = MessageHub.get_instance(request.node.nodeid)
    for values in zip(student0, student1):
        for name, value in zip(('student0', 'student1', 'best'), (*values, 0)):
            value = choose(values) if name == 'best' else value
            hub.update_scalar(f'val/{name}/{METRIC}', value)
    runner = SimpleNamespace(
        message_hub=hub,
        model=distil(2),
        val_loop=SimpleNamespace(best_rule=BestRule(METRIC, rule, 'a test')),
    )
    assert _best_so_far(runner, None) == expected


def test_the_best_is_one_of_the_graduates(request):
    hub = MessageHub.get_instance(request.node.nodeid)
    for name in ('student0', 'student1', 'student2', 'best'):
        hub.update_scalar(f'val/{name}/{METRIC}', 90.0)
    model = distil(3)
    model.cohort.deployed = ['student2']
    runner = SimpleNamespace(
        message_hub=hub,
        model=model,
        val_loop=SimpleNamespace(best_rule=BestRule(METRIC, 'greater', 'a test')),
    )
    assert _best_so_far(runner, None) == 'student2 (90.00)'


def test_of_one_student_none_is_best_or_lowest(tmp_path):
    stream = StringIO()
    console = CalmConsole(stream).open()
    try:
        cohort = dict(
            architecture=network(),
            num_students=1,
            distiller=dict(type='mmdckd.CollectiveDistiller'),
        )
        build_runner(run_config(tmp_path, cohort), console).train()
    finally:
        console.close()
    lines = stream.getvalue().splitlines()
    steps = [line for line in lines if '  loss ' in line]
    assert steps and all('  task loss: student0 ' in line for line in steps)
    validations = [line for line in lines if 'accuracy/top1' in line]
    assert len(validations) == 2
    for line in validations:
        assert re.search(r'/top1: student0 [\d.]+, teacher [\d.]+$', line)
