# Copyright (c) mmdckd contributors. All rights reserved.
from types import SimpleNamespace

import numpy as np

from helpers.cohort_arrays import cohort_arrays
from mmdckd.report.confusions import Confusion, find_confusions
from mmdckd.report.report import _confusions


def test_counts_are_those_of_the_members():
    arrays = cohort_arrays(students=3)
    found = find_confusions(arrays)
    names = list(arrays['members'])
    confusion = dict(zip(names, arrays['confusion']))
    own = np.stack([confusion[name] for name in arrays['students']])
    for each in found:
        pair = int(each.label[1:]), int(each.prediction[1:])
        counts = [int(matrix[pair]) for matrix in own]
        assert each == Confusion(
            each.label,
            each.prediction,
            images=int(own[0, pair[0]].sum()),
            students=sum(counts) / 3,
            fewest=min(counts),
            most=max(counts),
            ensemble=confusion['ensemble'][pair],
            teacher=confusion['teacher'][pair],
        )
        assert each.resolved == each.students - each.ensemble
    # All that any student confuses, the most confused first.
    off = own.sum(0) - np.diag(own.sum(0).diagonal())
    assert sum(3 * each.students for each in found) == off.sum()
    students = [each.students for each in found]
    assert students == sorted(students, reverse=True)


def test_one_student_has_no_ensemble():
    for teacher in (True, False):
        found = find_confusions(cohort_arrays(students=1, teacher=teacher))
        assert found and all(each.ensemble is None for each in found)
        assert all((each.teacher is None) != teacher for each in found)


def test_who_is_always_right_confuses_nothing():
    arrays = cohort_arrays()
    arrays['confusion'] = np.stack(
        [np.diag(np.ones(5, int))] * len(arrays['confusion'])
    )
    assert find_confusions(arrays) == []


def test_the_page_tells_what_the_ensemble_mends_and_what_it_spoils():
    pairs = ((0, 1), (1, 2), (2, 0))
    counts = dict(student0=(4, 1, 1), student1=(2, 1, 0), ensemble=(1, 3, 0))
    confusion = np.zeros((3, 3, 3), int)
    for matrix, own in zip(confusion, counts.values()):
        for pair, count in zip(pairs, own):
            matrix[pair] = count
    found = _confusions(
        SimpleNamespace(
            statistics=dict(
                members=np.array([*counts]),
                students=np.array([*counts][:2]),
                classes=np.array(['a', 'b', 'c']),
                confusion=confusion,
            )
        )
    )
    shown = {
        key: [(each.label, each.prediction) for each in found[key]]
        for key in ('most', 'resolved', 'worse')
    }
    assert shown == dict(
        most=[('a', 'b'), ('b', 'c'), ('c', 'a')],
        resolved=[('a', 'b'), ('c', 'a')],
        worse=[('b', 'c')],
    )
    assert found['several'] and not found['teacher']
