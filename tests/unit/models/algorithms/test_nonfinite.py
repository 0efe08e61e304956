# Copyright (c) mmdckd contributors. All rights reserved.
import copy
import gc
import math
import weakref
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from mmengine.dist import get_rank
from mmengine.logging import MessageHub
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from torch.optim import SGD

from helpers.networks import dckd, digits, distil, network
from helpers.poison import Poison
from helpers.processes import run_processes
from mmdckd.models.algorithms.copied_losses import CopiedLosses, _arrives_later


def optimizer(model):
    # Both of what moves a weight that has no loss.
    return OptimWrapper(
        SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    )


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


RECORDED = dict(last=dict(type='ModuleOutputs', source='backbone.layer4'))
CONNECTED = dict(
    dckd(),
    student_recorders=RECORDED,
    teacher_recorders=RECORDED,
    connectors=dict(
        adapt=dict(
            type='ConvModuleConnector',
            in_channel=32,
            out_channel=32,
            norm_cfg=dict(type='BN'),
        )
    ),
    distill_losses=dict(loss_l2=dict(type='L2Loss')),
    loss_forward_mappings=dict(
        loss_l2=dict(
            s_feature=dict(recorder='last', from_student=True, connector='adapt'),
            t_feature=dict(recorder='last', from_student=False),
        )
    ),
)


def test_statistics_and_gradients_of_a_connector_are_not_touched():
    model = distil(distiller=CONNECTED)
    optim = optimizer(model)
    Poison(model.cohort.students['student1'], {2})
    steps(model, optim, 0, 2)
    before = state(model, optim)
    with pytest.raises(FloatingPointError):
        steps(model, optim, 2, 3)
    assert_same(state(model, optim), before)
    assert any('running_mean' in name for name, _ in model.distiller.named_buffers())
    assert all(p.grad is None for p in model.parameters())
    steps(model, optim, 3, 4)
    assert all(p.isfinite().all() for p in model.parameters())


def test_statistics_of_a_trained_teacher_are_not_touched():
    model = distil(teacher_trainable=True, teacher_norm_eval=False)
    optim = optimizer(model)
    Poison(model.teachers[0].model, {1})
    steps(model, optim, 0, 1)
    before = state(model, optim)
    with pytest.raises(FloatingPointError, match='loss of the teacher'):
        steps(model, optim, 1, 2)
    assert_same(state(model, optim), before)


def test_the_host_waits_when_it_has_started_the_backward_pass():
    """In a loop of one's own, too; what is logged is on the CPU then."""
    model = distil()
    weights = list(model.cohort.students.parameters())
    looked, look_at = [], CopiedLosses.look_at

    def noted(self):
        looked.append(all(weight.grad is not None for weight in weights))
        return look_at(self)

    with mock.patch.object(CopiedLosses, 'look_at', noted):
        total, log = model.parse_losses(
            model(**model.data_preprocessor(batch(0), True), mode='loss')
        )
        names = list(log)
        assert looked == [] and names[0] == 'loss'
        assert float(log['loss']) == pytest.approx(float(total))
        total.backward(retain_graph=True)
        total.backward()
    assert looked == [True]
    assert list(log) == names
    assert float(log['loss']) == pytest.approx(float(total))


def test_a_compiled_step_waits_for_the_copy():
    """A compiler may put the event before the copy that it stands for."""
    losses = SimpleNamespace(is_cuda=True)

    def step(x):
        return x + 1, _arrives_later(losses)

    assert step(torch.zeros(2))[1]
    assert not torch.compile(step, backend='eager')(torch.zeros(2))[1]


@pytest.mark.parametrize('backward', [True, False])
def test_the_graph_of_a_step_is_freed(backward):
    model = distil(distiller=CONNECTED)
    losses = model(**model.data_preprocessor(batch(0), True), mode='loss')
    total, log = model.parse_losses(losses)
    alive = []
    for name, loss in [*losses.items(), ('total', total)]:
        if loss.grad_fn is not None:
            mark = type('Mark', (), {})()
            alive.append((name, weakref.ref(mark)))
            # Several losses may come from one function.
            loss.grad_fn.metadata.setdefault('marks', []).append(mark)
            del mark
    if backward:
        total.backward()
    assert all(mark() for _, mark in alive) and len(alive) > 8
    del losses, total, loss
    gc.disable()
    try:
        assert [name for name, mark in alive if mark()] == []
    finally:
        gc.enable()
    assert len(log) > 8


def test_losses_that_nothing_learns_from_are_checked_at_once():
    model = distil()
    Poison(model.cohort.students['student1'], {0})
    with torch.no_grad(), pytest.raises(FloatingPointError, match='student1'):
        model(**model.data_preprocessor(batch(0), True), mode='loss')


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
    assert '2 losses of members that learn from it' in message
    for i in range(32, 48):
        assert f'digits/{i}.png' in message
    assert 'SaveOnNonFiniteHook' in message
    # It is sound still.
    steps(model, optim, 3, 4)


def numbered_steps(model, optim, start, stop):
    """Train, with the number of the iteration where a runner keeps it."""
    hub = MessageHub.get_current_instance()
    values = []
    for i in range(start, stop):
        hub.update_info('iter', i)
        values += steps(model, optim, i, i + 1)
    return values


def test_only_every_third_iteration_is_checked():
    model, often = distil(check_finite_every=3), distil()
    third = numbered_steps(model, optimizer(model), 0, 8)
    every = numbered_steps(often, optimizer(often), 0, 8)
    assert_same(model.state_dict(), often.state_dict())
    # The values of the last check are logged in between.
    assert_same(third, [every[i] for i in (0, 0, 2, 2, 2, 5, 5, 5)])


def test_a_loss_that_is_not_finite_is_found_at_the_next_check():
    model = distil(check_finite_every=3)
    optim = optimizer(model)
    Poison(model.cohort.students['student1'], {4}, math.nan)
    numbered_steps(model, optim, 0, 5)
    with pytest.raises(FloatingPointError, match='weights of .*student1.* not finite'):
        numbered_steps(model, optim, 5, 6)


def test_without_a_runner_every_step_is_checked():
    model = distil(check_finite_every=3)
    Poison(model.cohort.students['student1'], {1}, math.nan)
    with pytest.raises(FloatingPointError):
        steps(model, optimizer(model), 0, 2)


@pytest.mark.parametrize('every', [0, -1, 2.0, True, '3'])
def test_how_often_is_a_whole_number(every):
    with pytest.raises(ValueError, match='Invalid `check_finite_every`'):
        distil(check_finite_every=every)


def test_weights_that_are_spoilt_already_are_told():
    model = distil()
    model.cohort.students['student0'].head.fc.weight.data[0, 0] = math.nan
    with pytest.raises(
        FloatingPointError, match='The weights of student0 are not finite'
    ):
        steps(model, optimizer(model), 0, 1)


def test_a_teacher_that_is_the_cause_is_named():
    model = distil(num_students=3)
    model.teachers[0].model.head.fc.bias.data[0] = math.nan
    with pytest.raises(FloatingPointError, match='loss of the teacher'):
        steps(model, optimizer(model), 0, 1)


def test_a_finished_peer_that_is_the_cause_is_named():
    model = distil(
        num_students=1,
        teacher=None,
        finished_peers=[network()] * 2,
        distiller=dckd(alpha=0.0),
    )
    peers = list(model.finished_peers.networks.values())
    peers[1].model.head.fc.bias.data[0] = math.nan
    with pytest.raises(FloatingPointError, match='the loss of a finished peer: coll'):
        steps(model, optimizer(model), 0, 1)


def test_an_image_that_spoils_all_stops_the_run():
    model = distil(num_students=3)
    optim = optimizer(model)
    for student in model.cohort.students.values():
        Poison(student, {0})
    before = state(model, optim)
    with pytest.raises(
        FloatingPointError, match='loss of student0, student1, student2'
    ):
        steps(model, optim, 0, 1)
    assert_same(state(model, optim), before)


def test_losses_of_all_shapes_and_types():
    losses = dict(
        loss_a=torch.tensor([1.0, math.inf]),
        loss_b=[torch.tensor(1.0), torch.tensor(math.nan)],
        loss_c=torch.tensor(1e300, dtype=torch.float64),
        loss_d=torch.tensor(1.0, dtype=torch.bfloat16),
        agreement=torch.tensor(math.nan),
    )
    values, finite = CopiedLosses(losses).look_at()
    assert finite == dict(loss_a=False, loss_b=False, loss_c=True, loss_d=True)
    assert list(values) == list(losses)
    assert values['loss_c'] == 1e300 and values['loss_d'] == 1.0


def _process(rank):
    """One of two processes; the second one's images spoil student1."""
    model = distil(num_students=3)
    wrapped = MMDistributedDataParallel(module=model, broadcast_buffers=False)
    if get_rank() == 1:
        Poison(model.cohort.students['student1'], {1})
    optim = optimizer(model)
    try:
        wrapped.train()
        for i in range(4):
            wrapped.train_step(batch(2 * i + rank), optim)
    except FloatingPointError as error:
        return str(error)
    return 'it went on'


def test_all_processes_stop_together():
    first, second = run_processes(_process)
    assert first == second
    assert 'student.student1.loss=nan' in first
    # The images of the process that has met it.
    assert 'digits/48.png' in first and 'digits/32.png' not in first
