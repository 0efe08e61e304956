# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
from mmengine.logging import MessageHub

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


def test_a_checkpoint_that_was_saved_without_a_validation():
    found = checkpoint(best_student_by=dict(iter=4))
    hub = MessageHub('best')
    for key, value in found['message_hub']['runtime_info'].items():
        hub.update_info(key, value)
    said = best_student_of(dict(found, message_hub=hub)).note
    assert said.startswith('It was saved after iteration 8 (epoch 2) without a')
    assert said.endswith('of the validation after iteration 4')
    assert 'does not record' in best_student_of(dict(found, meta={})).note
    assert best_student_of(dict(meta={})) is None


@pytest.mark.parametrize('damaged', [dict(epoch=1), [8], 8, 'iter'])
def test_a_damaged_note_counts_as_none(damaged):
    found = best_student_of(checkpoint(best_student_by=damaged))
    assert found.name == 'student1'
    assert 'does not record which validation chose the best student' in found.note
