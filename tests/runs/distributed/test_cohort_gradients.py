# Copyright (c) mmdckd contributors. All rights reserved.
"""Students in different processes learn as they do in one."""

from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from mmengine.model import MMDistributedDataParallel

from helpers.gradients import KeepGradients, dckd
from helpers.networks import digits, distil, multi_label, network, shallow
from helpers.processes import run_processes
from mmdckd.models.algorithms.spreading import spread
from mmdckd.models.cohorts.cohort_mesh import CohortMesh


def without_statistics(cfg):
    cfg['backbone']['norm_cfg'] = dict(type='GN', num_groups=2)
    return cfg


LAST = dict(last=dict(type='ModuleOutputs', source='backbone.layer4'))
FEATURES = dict(
    type='mmdckd.CollectiveDistiller',
    collective_losses=dict(
        loss_dckd=dict(type='mmdckd.DCKDLoss'),
        loss_map=dict(type='mmdckd.RelationMapLoss', recorder='last'),
    ),
    student_recorders=LAST,
    teacher_recorders=LAST,
)
CONNECTED = dict(
    FEATURES,
    collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
    connectors=dict(
        adapt=dict(type='ConvModuleConnector', in_channel=32, out_channel=32)
    ),
    distill_losses=dict(loss_l2=dict(type='L2Loss')),
    loss_forward_mappings=dict(
        loss_l2=dict(
            s_feature=dict(recorder='last', from_student=True, connector='adapt'),
            t_feature=dict(recorder='last', from_student=False),
        )
    ),
)
SMALL = dict(
    architecture=without_statistics(network()), teacher=without_statistics(network())
)
CASES = dict(
    logits=SMALL,
    several_teachers=dict(SMALL, teacher=[shallow(width=6), shallow()]),
    labels=dict(SMALL, distiller=dckd(correlation='non_target')),
    features=dict(SMALL, distiller=FEATURES),
    connectors=dict(SMALL, distiller=CONNECTED),
    no_teacher=dict(SMALL, teacher=None, distiller=dckd(alpha=0.0)),
    lagged=dict(SMALL, lagged_peers=dict(interval=2)),
    finished=dict(SMALL, finished_peers=[shallow(width=6), shallow()]),
    finished_alone=dict(
        SMALL, teacher=None, distiller=dckd(alpha=0.0), finished_peers=[shallow()]
    ),
    folds=dict(
        SMALL,
        num_students=4,
        folds=dict(num_folds=2),
        distiller=dckd(collector='held_out'),
    ),
    memory=dict(SMALL, memory='checkpoint'),
    frozen=dict(
        SMALL,
        distiller=CONNECTED,
        student_trainable=False,
        calculate_student_loss=False,
    ),
    mixed=dict(
        teacher=SMALL['teacher'],
        students=dict(
            a=without_statistics(network()), b=without_statistics(shallow(width=6))
        ),
    ),
)
#: Losses of several images together differ between halves of a batch.
IN_GROUPS = dict(
    logits=SMALL, connectors=CASES['connectors'], four=dict(SMALL, num_students=4)
)
TWO_EACH = dict(CASES, two_students_each=dict(SMALL, num_students=4))


def step(rank, number, cfg, size=18):
    """The gradients of a step by name, and what it logs."""
    model = distil(parallel='cohort', **cfg)
    part, trained = slice(None), model
    if number > 1:
        spread(model, CohortMesh(model.cohort.names))
        group = model.exchange.mesh.data
        place = torch.distributed.get_group_rank(group, rank)
        part = slice(place, None, torch.distributed.get_world_size(group))
        away = [name for name, each in model.named_parameters() if each.is_meta]
        trained = MMDistributedDataParallel
        trained._set_params_and_buffers_to_ignore_for_model(model, away)
        trained = trained(module=model, process_group=group)
    data = digits(size)
    for index, sample in enumerate(data['data_samples']):
        sample.set_metainfo(dict(fold=index // 2 % 2))
    batch = {key: value[part] for key, value in data.items()}
    wrapper = KeepGradients(torch.optim.SGD(model.parameters(), lr=0.1))
    log = trained.train_step(batch, wrapper)
    return (
        {
            name: each.grad.numpy()
            for name, each in model.named_parameters()
            if each.grad is not None
        },
        {name: float(value) for name, value in log.items()},
    )


def steps(rank, number, cases):
    return {name: step(rank, number, cfg) for name, cfg in cases.items()}


@pytest.mark.parametrize('number, cases', [(2, TWO_EACH), (4, IN_GROUPS)])
def test_losses_and_gradients_are_those_of_one_process(number, cases):
    several = run_processes(steps, number, cases, number=number)
    for case, cfg in cases.items():
        gradients, log = step(0, 1, cfg)
        held, logs = [], []
        for outcomes in several:
            own, own_log = outcomes[case]
            held += own
            for name, gradient in own.items():
                np.testing.assert_allclose(
                    gradient, gradients[name], rtol=0, atol=1e-6, err_msg=case
                )
            assert list(own_log) == list(log), case
            logs.append(own_log)
        # Every gradient is there, on as many processes as hold its student.
        number_of_students = cfg.get('num_students', 2)
        assert set(held) == set(gradients), case
        each = max(1, number // number_of_students)
        assert len(held) == each * len(gradients), case
        for name, value in log.items():
            mean = np.mean([each[name] for each in logs])
            assert mean == pytest.approx(value, rel=1e-6, abs=1e-6), (case, name)


def in_order(rank):
    """When a process sends, waits and runs networks in a step."""
    model = distil(parallel='cohort', **SMALL)
    spread(model, CohortMesh(model.cohort.names))
    log, gather = [], torch.distributed.all_gather

    def logged_gather(*args, **kwargs):
        log.append('send')
        work = gather(*args, **kwargs)
        return SimpleNamespace(wait=lambda: [log.append('wait'), work.wait()])

    networks = dict(
        teacher=model.teachers[0].model, student=model.cohort.students[f'student{rank}']
    )
    for name, each in networks.items():
        each.register_forward_hook(lambda *args, name=name: log.append(name))
    wrapper = KeepGradients(torch.optim.SGD(model.parameters(), lr=0.1))
    with mock.patch.object(torch.distributed, 'all_gather', logged_gather):
        model.train_step(digits(4), wrapper)
    return log


def test_the_teachers_logits_travel_while_the_student_runs():
    expected = ['teacher', 'send', 'student', 'send', 'wait', 'wait']
    assert run_processes(in_order) == [expected] * 2


def predicted(model, data):
    model.eval()
    with torch.no_grad():
        inputs = model.data_preprocessor(data, False)
        members = model.predict_members(**inputs)
    return {
        name: [(each.pred_score.numpy(), each.pred_label.tolist()) for each in samples]
        for name, samples in members.items()
    }


PREDICTING = dict(
    one_label=dict(num_students=2),
    several_labels=dict(
        num_students=2,
        architecture=multi_label(topk=2),
        teacher=multi_label(34, topk=2),
    ),
)


#: Of one size, and of other sizes in one process or in both.
SIZES = [(8, 8), (8, 12), (8, 8), (12, 8)]


def images(rank, number, size):
    """Images of a process in a batch of the validation, with sides of 8, 12, ..."""
    batch = digits(5, 10 * number + 5 * rank)
    scaled = torch.nn.functional.interpolate(batch['inputs'].float(), (size, size))
    return dict(batch, inputs=scaled.byte())


def batches(rank):
    return [images(rank, i, sizes[rank]) for i, sizes in enumerate(SIZES)]


def predicting(rank):
    """What each process predicts of images of its own."""
    outcomes = {}
    for name, cfg in PREDICTING.items():
        model = distil(parallel='cohort', **cfg)
        spread(model, CohortMesh(model.cohort.names))
        outcomes[name] = [predicted(model, batch) for batch in batches(rank)]
    return outcomes


def test_members_predict_as_in_one_process():
    several = run_processes(predicting)
    for name, cfg in PREDICTING.items():
        model = distil(**cfg)
        for rank, outcomes in enumerate(several):
            for batch, outcome in zip(batches(rank), outcomes[name]):
                alone = predicted(model, batch)
                assert list(outcome) == list(alone)
                for member, samples in alone.items():
                    for (score, label), (own, own_label) in zip(
                        samples, outcome[member]
                    ):
                        np.testing.assert_allclose(own, score, rtol=0, atol=1e-6)
                        assert own_label == label


def twins(rank, **cfg):
    model = distil(parallel='cohort', **SMALL, **cfg)
    first, second = model.cohort.students.values()
    second.load_state_dict(first.state_dict())
    spread(model, CohortMesh(model.cohort.names))
    return model


def blind_twins(rank):
    """Each is blind to the images that the other one sees."""
    return twins(rank, folds=dict(), distiller=dckd(collector='held_out'))


def broken(rank):
    """A weight of the second student, which one process alone has, is no
    number."""
    model = distil(parallel='cohort', **SMALL)
    with torch.no_grad():
        next(model.cohort.students['student1'].parameters())[0] = np.nan
    spread(model, CohortMesh(model.cohort.names))
    return model


def unspread(rank):
    return distil(parallel='cohort', **SMALL)


REFUSED = {
    '3 students in 2 processes': dict(num_students=3),
    'model.views': dict(views='independent'),
    'model.teacher_trainable': dict(teacher_trainable=True),
    'distiller.distill_deliveries': dict(
        distiller=dict(
            dckd(),
            distill_deliveries=dict(
                head=dict(
                    type='MethodOutputs',
                    max_keep_data=2,
                    method_path='mmpretrain.models.LinearClsHead.pre_logits',
                )
            ),
        )
    ),
    'parameters in `distiller.collective_losses`': dict(
        teacher=None,
        distiller=dict(
            type='mmdckd.CollectiveDistiller',
            collective_losses=dict(
                loss=dict(
                    type='mmdckd.GatedEnsembleLoss', num_students=2, num_classes=10
                )
            ),
        ),
    ),
}


def raised(function, *args):
    try:
        function(*args)
    except (ValueError, FloatingPointError) as error:
        return str(error)


def refusals(rank):
    """The errors of what cannot be spread, and of the first steps of others."""

    def spread_out(cfg):
        model = distil(parallel='cohort', **dict(SMALL, **cfg))
        spread(model, CohortMesh(model.cohort.names))

    errors = {reason: raised(spread_out, cfg) for reason, cfg in REFUSED.items()}
    wrapper = KeepGradients(torch.optim.SGD([torch.ones(1)], 1.0))
    data = digits(4)
    for index, sample in enumerate(data['data_samples']):
        sample.set_metainfo(dict(fold=index % 2))
    for build in (twins, blind_twins, unspread, broken):
        errors[build.__name__] = raised(build(rank).train_step, data, wrapper)
    return errors


def test_what_cannot_be_spread_is_refused():
    first, second = run_processes(refusals)
    assert first == second
    for reason in REFUSED:
        assert first[reason].startswith("Invalid `model.parallel`: expected 'data'")
        assert reason in first[reason]
        assert first[reason].endswith("got 'cohort'.")
    assert "'student0' and 'student1' with bitwise equal weights" in first['twins']
    assert first['blind_twins'] is None
    assert 'build_runner' in first['unspread']
    assert (
        'Not finite: the loss of student1: student.student1.loss=nan'
        in (first['broken'])
    )
    assert 'The weights of student1 are not finite' in first['broken']
    assert first['broken'].count('sample 0 of the batch') == 1


def test_students_of_different_numbers_of_classes_are_refused():
    students = dict(a=network(), b=network(num_classes=7))
    with pytest.raises(ValueError, match='same number of classes .* a: 10, b: 7'):
        distil(parallel='cohort', students=students)


def test_a_misspelled_word_is_refused():
    with pytest.raises(ValueError, match="`parallel`.*Did you mean 'cohort'"):
        distil(parallel='cohorts')


def exchanged(rank):
    mesh = CohortMesh(['a', 'b'])
    own = {
        'half': torch.full((rank + 1,), rank + 0.5, dtype=torch.bfloat16),
        'number': torch.tensor(rank),
        'single': torch.full((2, rank + 1), float(rank)),
    }
    gathered = [
        {name: value.float().tolist() for name, value in part.items()}
        for part in mesh.gather(own)
    ]
    return mesh.held, gathered, mesh.share(torch.arange(5)).tolist()


def test_tensors_of_several_types_and_shapes_are_exchanged():
    both = [
        dict(half=[0.5], number=0.0, single=[[0.0], [0.0]]),
        dict(half=[1.5, 1.5], number=1.0, single=[[1.0, 1.0], [1.0, 1.0]]),
    ]
    assert run_processes(exchanged) == [(['a'], both, [0, 1, 2]), (['b'], both, [3, 4])]
