# Copyright (c) mmdckd contributors. All rights reserved.
"""Pages of runs of every kind."""

import numpy as np
import pytest
from mmengine.config import Config

from helpers.cohort_arrays import cohort_arrays
from mmdckd.report.decision import best_of_runs, decide
from mmdckd.report.recorded_run import RecordedRun
from mmdckd.report.report import write_report

TOP1 = 'accuracy/top1'


def run_of(name, rows, metric=TOP1, statistics=None, epochs=9, sizes=()):
    """A run with a row of values by member for each validation."""
    validation = [
        {**{f'{member}/{metric}': v for member, v in row.items()}, 'step': step}
        for step, row in enumerate(rows, 1)
    ]
    config = Config(dict(model=dict(), train_cfg=dict(max_epochs=epochs)))
    members = [
        dict(name=n, role='r', network='n', parameters=p, macs=1, sources={})
        for n, p in dict(sizes).items()
    ]
    return RecordedRun(name, '', [], validation, config, '', members, statistics)


def many(classes, **options):
    arrays = dict(cohort_arrays(num_classes=classes, count=300, **options))
    names = [f'class number {i} of a long name, {"x" * 40}' for i in range(classes)]
    return dict(arrays, classes=np.array(names), step=np.array(1))


TAUGHT = dict(student0=90.0, student1=97.8, best=97.8, ensemble=98.1, teacher=99.2)
ALONE = dict(student0=50.0, best=50.0)
CASES = dict(
    taught=(
        run_of('a', [TAUGHT], sizes=dict(student1=10, teacher=290)),
        'Use student1, epoch 1: 97.8 %; the teacher has 99.2 %, with 29 times as many '
        'parameters.',
    ),
    one_student=(run_of('a', [ALONE, ALONE]), 'Use student0, epoch 1: 50.0 %.'),
    multi_label=(
        run_of('a', [TAUGHT], 'multi-label/mAP'),
        'Use student1, epoch 1: 97.8 % multi-label/mAP; the teacher has 99.2 %.',
    ),
    many_classes=(run_of('a', [ALONE], statistics=many(130, students=1)), 'student0'),
    some_classes=(run_of('a', [TAUGHT], statistics=many(20)), 'student1'),
    two_teachers=(
        run_of('a', [dict(ALONE, teacher0=80.0, teacher1=70.0)]),
        'Use student0, epoch 1: 50.0 %; the teachers have 80.0 % and 70.0 %.',
    ),
)


@pytest.mark.parametrize('kind', CASES)
def test_a_page_says_what_to_use(kind, tmp_path):
    run, expected = CASES[kind]
    assert expected in decide(run).sentence
    page = open(write_report([run], str(tmp_path))).read()
    assert f'Use <strong>{decide(run).use}</strong>' in page
    assert len(page) < 4e6


def test_a_run_that_was_stopped_says_so():
    (note,) = (n for n in decide(run_of('a', [ALONE])).notes if 'stopped' in n)
    assert 'epoch 1 of 9' in note
    assert any('1 of 2:' in n for n in decide(run_of('a', [ALONE], epochs=2)).notes)
    assert not any('stopped' in n for n in decide(run_of('a', [ALONE], epochs=1)).notes)


def test_the_table_has_the_best_and_the_last_validation():
    later = dict(TAUGHT, student1=91.0, best=91.0, ensemble=92.0)
    sizes = dict(student0=10, student1=20, teacher=290)
    decision = decide(run_of('a', [TAUGHT, later], sizes=sizes))
    found = [(r.member, r.at_best, r.last, r.parameters) for r in decision.rows]
    assert found == [
        ('student0', '90.00 %', '90.00 %', '10'),
        ('student1', '97.80 %', '91.00 %', '20'),
        ('ensemble', '98.10 %', '92.00 %', '30'),  # the cost of both
        ('teacher', '99.20 %', '99.20 %', '290'),
    ]
    (note,) = (note for note in decision.notes if 'ensemble' in note)
    assert 'the 2 students has 98.1 %' in note


def test_an_image_is_a_share_of_an_accuracy_only():
    first, *_ = decide(run_of('a', [ALONE], statistics=many(3, students=1))).notes
    assert 'One of the 300 images is 0.33 points' in first
    run = run_of('a', [ALONE], 'multi-label/mAP', many(3, students=1))
    assert not any('points' in note for note in decide(run).notes)


def test_the_best_of_runs_leads():
    runs = [run_of('worse', [ALONE]), run_of('better', [TAUGHT])]
    assert best_of_runs(runs) == 'better'
    other = run_of('other', [TAUGHT], 'multi-label/mAP')
    assert best_of_runs([*runs, other]) is None
    assert best_of_runs(runs[:1]) is None


def test_the_least_value_may_be_the_best():
    runs = [
        run_of(name, [dict(student0=value, best=value)], 'log_loss')
        for name, value in (('worse', 2.0), ('better', 1.0))
    ]
    assert best_of_runs(runs) == 'better'
    note, *_ = decide(runs[0]).notes
    assert note.startswith('Chosen by the lowest log_loss in validation')
