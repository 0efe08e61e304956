# Copyright (c) mmdckd contributors. All rights reserved.
"""What a person who watches a run sees, and what is written all the same."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub
from mmengine.runner import LogProcessor

from helpers.networks import distil, shallow
from helpers.runs import run_config, shallow_cohort, train
from mmdckd.engine.runner.cohort_log_processor import CohortLogProcessor
from mmdckd.evaluation.best_rule import BestRule

NAMES = [f'student{i}' for i in range(8)]


def config(folder, num_students=8, **kwargs):
    kwargs.setdefault('log_processor', dict(type='mmdckd.CohortLogProcessor'))
    cfg = run_config(
        folder,
        shallow_cohort(num_students),
        custom_hooks=[dict(type='mmdckd.CohortStatisticsHook')],
        **kwargs,
    )
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=2)
    return cfg


def lines(runner, stage):
    """The lines of a stage, without their time stamps; of validations and
    tests those with the results."""
    (log,) = Path(runner.work_dir).glob('*/*.log')
    found = re.findall(rf'((?:Epoch|Iter)\({stage}\).*)', log.read_text())
    return [line for line in found if stage == 'train' or 'top1' in line]


def records(runner):
    (path,) = Path(runner.work_dir).glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return train(config(tmp_path_factory.mktemp('log')))


def test_training_has_one_short_line_with_the_best_student(run):
    shown = lines(run, 'train')
    logged = [r for r in records(run) if 'iter' in r]
    assert len(shown) == len(logged) == 4
    for line, record in zip(shown, logged):
        assert len(line) < 200
        losses = {name: record[f'student.{name}.loss'] for name in NAMES}
        best = min(losses, key=losses.get)
        mean = sum(losses.values()) / 8
        assert line.endswith(
            f'best student: {best} (task loss {losses[best]:.4f}, mean {mean:.4f})'
        )
        assert f'  loss: {record["loss"]:.4f}  ' in line
        assert re.search(r'  eta: \d+:\d\d:\d\d  ', line)


def test_validation_has_one_short_line_with_all_who_matter(run):
    shown = lines(run, 'val')
    logged = [r for r in records(run) if 'iter' not in r]
    assert len(shown) == len(logged) == 2
    for line, record in zip(shown, logged):
        assert len(line) < 200
        top1 = {name: record[f'{name}/accuracy/top1'] for name in NAMES}
        best = max(top1, key=top1.get)
        assert line.endswith(
            f'  accuracy/top1: {best} (best) {top1[best]:.2f}, '
            f'mean {sum(top1.values()) / 8:.2f}, '
            f'ensemble {record["ensemble/accuracy/top1"]:.2f}, '
            f'teacher {record["teacher/accuracy/top1"]:.2f}'
        )


@pytest.mark.slow
def test_nothing_is_missing_in_the_file(run, tmp_path):
    without = train(config(tmp_path, log_processor=dict(type='LogProcessor')))
    assert [r.keys() for r in records(run)] == [r.keys() for r in records(without)]
    assert len(lines(without, 'train')[0]) > 1000


@pytest.mark.slow
def test_a_run_by_iterations_with_hierarchy(tmp_path):
    runner = train(
        config(
            tmp_path,
            train_cfg=dict(by_epoch=False, max_iters=2, val_interval=2),
            log_processor=dict(
                type='mmdckd.CohortLogProcessor',
                by_epoch=False,
                log_with_hierarchy=True,
            ),
        )
    )
    (line,) = lines(runner, 'train')
    assert 'best student: student' in line and len(line) < 200
    (line,) = lines(runner, 'val')
    assert re.search(r'accuracy/top1: student\d \(best\) [\d.]+, mean', line)
    assert len(line) < 200


def test_the_test_split_names_the_student_that_was_chosen(run, capsys):
    metrics = run.test()
    best = run.message_hub.get_info('best_student')
    line = lines(run, 'test')[-1]
    assert (
        f'accuracy/top1: {best} (best) {metrics[f"{best}/accuracy/top1"]:.2f}, mean'
    ) in line


def test_the_best_student_is_one_of_the_graduates(monkeypatch):
    model = distil(2)
    model.cohort.deployed = ['student1']
    hub = MessageHub.get_instance('graduates')
    runner = SimpleNamespace(
        model=model,
        message_hub=hub,
        test_loop=SimpleNamespace(
            best_rule=BestRule('accuracy/top1', 'greater', 'a test')
        ),
    )
    values = dict(best=70.0, student0=90.0, student1=70.0)
    tag = {f'{name}/accuracy/top1': value for name, value in values.items()}
    losses = {'student.student0.loss': 1.0, 'student.student1.loss': 3.0}
    processor = CohortLogProcessor()
    for part, result in (('epoch', tag), ('iter', losses)):
        monkeypatch.setattr(
            LogProcessor,
            f'get_log_after_{part}',
            lambda *args, result=result, **kwargs: (result, ''),
        )
    _, line = processor.get_log_after_epoch(runner, 0, 'test')
    assert 'accuracy/top1: student1 (best) 70.00, mean 80.00' in line
    _, line = processor.get_log_after_iter(runner, 0, 'train')
    assert 'best student: student1 (task loss 3.0000, mean 2.0000)' in line


def test_one_student_has_no_mean_in_validation(tmp_path):
    distiller = dict(type='mmdckd.CollectiveDistiller')
    cfg = config(tmp_path, 1)
    cfg.model.distiller = distiller
    line = lines(train(cfg), 'val')[-1]
    assert re.search(r'student0 \(best\) [\d.]+, teacher [\d.]+$', line)


def test_a_network_alone_has_the_lines_of_mmengine(tmp_path):
    cfg = config(tmp_path, val_cfg=dict())
    cfg.default_hooks.checkpoint = None
    cfg.model = shallow()
    runner = train(cfg)
    assert 'best' not in lines(runner, 'train')[0]
    assert 'accuracy/top1: ' in lines(runner, 'val')[0]
