# Copyright (c) mmdckd contributors. All rights reserved.
import pytest

from mmdckd.io.best_student import best_student_of


def checkpoint(**info):
    return dict(
        message_hub=dict(runtime_info=dict(best_student='student1', **info)),
        meta=dict(iter=8, epoch=2),
    )


def test_the_validation_that_chose_it():
    assert best_student_of(checkpoint(best_student_by=dict(iter=8))).note == ''
    assert best_student_of(checkpoint(last_val_iter=8)).note == ''
    later = best_student_of(checkpoint(best_student_by=dict(iter=4, epoch=1)))
    assert later.name == 'student1' and 'after iteration 4 (epoch 1)' in later.note


@pytest.mark.parametrize('damaged', [dict(epoch=1), [8], 8, 'iter'])
def test_a_damaged_note_counts_as_none(damaged):
    found = best_student_of(checkpoint(best_student_by=damaged))
    assert found.name == 'student1'
    assert 'does not record which validation chose the best student' in found.note
