# Copyright (c) mmdckd contributors. All rights reserved.
import copy
import logging
import math

import pytest
import torch
from mmengine.dist import get_rank
from mmengine.logging import MMLogger
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from poison import Poison
from processes import run_processes
from tiny import digits, distil, network
from torch.optim import SGD

from mmdckd.models.algorithms.finite_losses import finite_losses


def dckd(**kwargs):
    return dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(
            loss_dckd=dict(type='mmdckd.DCKDLoss', **kwargs)))


def optimizer(model):
    # Both of what moves a weight that has no loss.
    return OptimWrapper(
        SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01))


def batch(step):
    data = digits(start=16 * step)
    for i, sample in enumerate(data['data_samples']):
        sample.set_metainfo(dict(img_path=f'digits/{16 * step + i}.png'))
    return data


def steps(model, optim, start, stop):
    model.train()
    return [model.train_step(batch(i), optim) for i in range(start, stop)]


def state(model, optim):
    return copy.deepcopy((model.state_dict(), optim.state_dict()))


def assert_same(a, b):
    torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_nothing_is_touched_and_the_message_says_where(value):
    model = distil(num_students=3)
    optim = optimizer(model)
    Poison(model.cohort.students['student1'], {2}, value)
    steps(model, optim, 0, 2)
    before = state(model, optim)
    with pytest.raises(FloatingPointError) as error:
        steps(model, optim, 2, 3)
    assert_same(state(model, optim), before)
    message = str(error.value)
    assert 'the loss of student1: student.student1.loss=nan' in message
    assert 'with it 2 losses of those that learn from it' in message
    for i in range(32, 48):
        assert f'digits/{i}.png' in message
    assert 'SaveOnNonFiniteHook' in message
    # It is sound still.
    steps(model, optim, 3, 4)


def test_weights_that_are_spoilt_already_are_told():
    model = distil()
    model.cohort.students['student0'].head.fc.weight.data[0, 0] = math.nan
    with pytest.raises(
            FloatingPointError,
            match='The weights of student0 are not finite'):
        steps(model, optimizer(model), 0, 1)


def test_a_teacher_that_is_the_cause_is_named():
    for on_nonfinite in ('stop', 'freeze_student'):
        model = distil(num_students=3, on_nonfinite=on_nonfinite)
        model.teachers[0].model.head.fc.bias.data[0] = math.nan
        with pytest.raises(FloatingPointError, match='loss of the teacher'):
            steps(model, optimizer(model), 0, 1)


def test_an_image_that_spoils_all_stops_the_run():
    model = distil(num_students=3, on_nonfinite='freeze_student')
    optim = optimizer(model)
    for student in model.cohort.students.values():
        Poison(student, {0})
    before = state(model, optim)
    with pytest.raises(
            FloatingPointError, match='loss of student0, student1, student2'):
        steps(model, optim, 0, 1)
    assert_same(state(model, optim), before)


def test_a_frozen_student_stays_and_the_others_train_as_without_it():
    model = distil(num_students=3, on_nonfinite='freeze_student')
    optim = optimizer(model)
    Poison(model.cohort.students['student1'], {2})
    steps(model, optim, 0, 2)
    before = copy.deepcopy(model.cohort.students['student1'].state_dict())
    reference = distil(
        students=dict(student0=network(), student2=network()),
        teacher=network(34))
    reference.teachers[0].model.load_state_dict(
        model.teachers[0].model.state_dict())
    expected = optimizer(reference)
    for name, student in reference.cohort.items():
        theirs = model.cohort.students[name]
        student.load_state_dict(theirs.state_dict())
        for p, q in zip(student.parameters(), theirs.parameters()):
            expected.optimizer.state[p] = copy.deepcopy(
                optim.optimizer.state[q])

    logs = steps(model, optim, 2, 5)
    assert logs == steps(reference, expected, 2, 5)
    assert not any('student1' in key for log in logs for key in log)
    assert_same(model.cohort.students['student1'].state_dict(), before)
    for name, student in reference.cohort.items():
        assert_same(model.cohort.students[name].state_dict(),
                    student.state_dict())
    assert not model.cohort.students['student1'].training


def test_the_freezing_is_logged(caplog):
    logger = MMLogger.get_current_instance()
    model = distil(num_students=3, on_nonfinite='freeze_student')
    Poison(model.cohort.students['student2'], {0})
    logger.addHandler(caplog.handler)
    try:
        steps(model, optimizer(model), 0, 1)
    finally:
        logger.removeHandler(caplog.handler)
    record, = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert 'the loss of student2: student.student2.loss=nan' in record.message
    assert 'digits/0.png' in record.message


def test_one_that_is_left_alone_learns_as_by_kd():
    model = distil(on_nonfinite='freeze_student', distiller=dckd())
    Poison(model.cohort.students['student1'], {0})
    reference = distil(num_students=1, distiller=dckd(beta=0.))
    reference.teachers[0].model.load_state_dict(
        model.teachers[0].model.state_dict())
    logs = steps(model, optimizer(model), 0, 3)
    for log, expected in zip(logs, steps(reference, optimizer(reference), 0,
                                         3)):
        assert abs(log['collective.student0.loss_dckd.collective']) < 1e-6
        assert 'collective.agreement' not in log
        for key in expected:
            torch.testing.assert_close(log[key], expected[key])


@pytest.mark.parametrize('cfg', [
    dict(lagged_peers=dict(momentum=0.5)),
    dict(distiller=dckd(collector='min_logit', correlation='non_target')),
    dict(distiller=dckd(collector=dict(type='max', include_teacher=True))),
    dict(teacher=[network(34), network(34)]),
    dict(teacher=network(34), teacher_trainable=True),
])
def test_all_kinds_of_cohorts_go_on(cfg):
    model = distil(num_students=3, on_nonfinite='freeze_student', **cfg)
    Poison(model.cohort.students['student0'], {1})
    logs = steps(model, optimizer(model), 0, 3)
    assert model.cohort.active_names == ['student1', 'student2']
    for log in logs:
        assert all(math.isfinite(value) for value in log.values())


def test_independent_views_go_on():
    model = distil(
        num_students=3, on_nonfinite='freeze_student', views='independent')
    Poison(model.cohort.students['student1'], {1})
    optim = optimizer(model)
    model.train()
    for i in range(3):
        data = batch(i)
        data['inputs'] = [data['inputs'].roll(j, -1) for j in range(3)]
        log = model.train_step(data, optim)
        assert math.isfinite(log['loss'])
    assert model.cohort.frozen == ['student1']


def test_a_checkpoint_remembers_who_is_frozen():
    model = distil(num_students=3, on_nonfinite='freeze_student')
    optim = optimizer(model)
    Poison(model.cohort.students['student0'], {1})
    steps(model, optim, 0, 3)
    resumed = distil(num_students=3, on_nonfinite='freeze_student', seed=1)
    resumed.teachers[0].model.load_state_dict(
        model.teachers[0].model.state_dict())
    again = optimizer(resumed)
    resumed.load_state_dict(model.state_dict())
    again.load_state_dict(copy.deepcopy(optim.state_dict()))
    assert resumed.cohort.frozen == ['student0']
    assert steps(model, optim, 3, 5) == steps(resumed, again, 3, 5)
    assert_same(state(resumed, again), state(model, optim))


def test_frozen_students_predict_nothing():
    model = distil(num_students=3, on_nonfinite='freeze_student')
    Poison(model.cohort.students['student0'], {0})
    steps(model, optimizer(model), 0, 1)
    data = model.eval().data_preprocessor(batch(1), False)
    with torch.no_grad():
        members = model.predict_members(**data)
        first = model(**data, mode='predict')
    assert list(members) == ['student1', 'student2', 'ensemble', 'teacher']
    for i, sample in enumerate(members['ensemble']):
        mean = torch.stack(
            [members[f'student{j}'][i].pred_score for j in (1, 2)]).mean(0)
        assert torch.equal(sample.pred_score, mean)
    assert torch.equal(first[0].pred_score, members['student1'][0].pred_score)


@pytest.mark.parametrize('loss, message', [
    (dict(type='mmdckd.GatedEnsembleLoss', num_students=3,
          num_classes=10), '`num_students=3` of the gate'),
    (dict(
        type='mmdckd.DCKDLoss',
        collector=dict(type='weighted', weights=[1., 2., 3.
                                                 ])), 'has 3 `weights`'),
    (dict(type='mmdckd.DCKDLoss', collector=dict(type='general')),
     'GeneralCollector has a weight for every student'),
])
def test_what_is_made_for_all_students_cannot_do_without_one(loss, message):
    distiller = dict(
        type='mmdckd.CollectiveDistiller', collective_losses=dict(loss=loss))
    distil(num_students=3, distiller=distiller)
    with pytest.raises(
            ValueError,
            match=f"'freeze_student'` takes.*losses.loss`.*{message}"):
        distil(
            num_students=3, distiller=distiller, on_nonfinite='freeze_student')


def test_another_answer_is_refused():
    with pytest.raises(ValueError, match="`on_nonfinite`.*got 'ignore'"):
        distil(on_nonfinite='ignore')


def test_losses_of_all_shapes_and_types():
    losses = dict(
        loss_a=torch.tensor([1., math.inf]),
        loss_b=[torch.tensor(1.), torch.tensor(math.nan)],
        loss_c=torch.tensor(1e300, dtype=torch.float64),
        loss_d=torch.tensor(1., dtype=torch.bfloat16),
        agreement=torch.tensor(math.nan))
    assert finite_losses(losses) == dict(
        loss_a=False, loss_b=False, loss_c=True, loss_d=True)


def _process(rank, on_nonfinite):
    """One of two processes; the second one's images spoil student1."""
    model = distil(num_students=3, on_nonfinite=on_nonfinite)
    wrapped = MMDistributedDataParallel(
        module=model,
        broadcast_buffers=False,
        find_unused_parameters=on_nonfinite == 'freeze_student')
    if get_rank() == 1:
        Poison(model.cohort.students['student1'], {1})
    optim = optimizer(model)
    try:
        wrapped.train()
        for i in range(4):
            wrapped.train_step(batch(2 * i + rank), optim)
    except FloatingPointError as error:
        return str(error)
    return model.cohort.frozen, [
        p.detach().numpy() for p in model.parameters()
    ]


def test_all_processes_stop_together():
    first, second = run_processes(_process, 'stop')
    assert first == second
    assert 'student.student1.loss=nan' in first
    # The images of the process that has met it.
    assert 'digits/48.png' in first and 'digits/32.png' not in first


def test_all_processes_freeze_together():
    (frozen, weights), (_, others) = run_processes(_process, 'freeze_student')
    assert frozen == ['student1']
    for a, b in zip(weights, others):
        assert (a == b).all() and not (a != a).any()
