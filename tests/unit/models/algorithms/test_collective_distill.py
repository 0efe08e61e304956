# Copyright (c) mmdckd contributors. All rights reserved.
import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmrazor.registry import MODELS as RAZOR_MODELS

from helpers import resumed
from helpers.networks import PREPROCESSOR, build, digits, distil, losses_of, network
from mmdckd.models.algorithms.building import check_first_step
from mmdckd.models.algorithms.exchange import Exchange

KD = dict(
    student_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')),
    teacher_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')),
    distill_losses=dict(loss_kl=dict(type='KLDivergence', tau=3.0)),
    loss_forward_mappings=dict(
        loss_kl=dict(
            preds_S=dict(recorder='fc', from_student=True),
            preds_T=dict(recorder='fc', from_student=False),
        )
    ),
)


def train(model, steps=3, lr=0.05):
    """MMEngine's own training step; returns the log of each."""
    model.train()
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9))
    return [model.train_step(digits(start=16 * i), optim) for i in range(steps)]


def test_every_term_of_every_student_is_named(batch):
    model = distil(num_students=3)
    losses = losses_of(model, batch)
    names = [f'student{i}' for i in range(3)]
    assert set(losses) == {
        'collective.agreement',
        *(f'student.{n}.loss' for n in names),
        *(f'collective.{n}.entropy' for n in names),
        *(
            f'collective.{n}.loss_dckd.{term}'
            for n in names
            for term in ('teacher', 'collective', 'correlation')
        ),
    }
    total, log = model.parse_losses(losses)
    terms = [v for k, v in losses.items() if 'loss' in k]
    assert len(terms) == 12
    torch.testing.assert_close(total, torch.stack(terms).sum())
    assert log['loss'] == total


def test_activations_in_place_change_nothing():
    """To the bit, the statistics of BatchNorm included."""
    models = [distil(), distil(module_inplace=False)]
    assert train(models[0]) == train(models[1])
    states = [model.state_dict() for model in models]
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_channels_last_changes_the_rounding_alone():
    plain, last = distil(), distil(channels_last=True)
    conv1 = [s.backbone.conv1 for s in last.cohort.students.values()]
    conv1.append(last.teachers[0].model.backbone.conv1)
    for conv in conv1:
        assert conv.weight.is_contiguous(memory_format=torch.channels_last)
    layouts = []
    conv1[0].register_forward_hook(
        lambda module, args, output: layouts.append(
            output.is_contiguous(memory_format=torch.channels_last)
        )
    )
    logs = [train(model, lr=0.01) for model in (plain, last)]
    assert layouts == [True] * 3
    for one, other in zip(*logs):
        for name, value in one.items():
            torch.testing.assert_close(other[name], value, rtol=1e-3, atol=1e-3)
    # A checkpoint is one of either.
    last.load_state_dict(plain.state_dict())
    assert conv1[0].weight.is_contiguous(memory_format=torch.channels_last)


def test_what_is_logged_is_on_the_cpu_without_a_graph(batch):
    model = distil()
    losses = losses_of(model, batch)
    total, log = model.parse_losses(losses)
    assert total.requires_grad
    assert not any(value.requires_grad for value in log.values())
    total.backward()
    for name, value in losses.items():
        assert log[name] == value
        assert not log[name].requires_grad and log[name].is_cpu
    assert log.pop('loss') == total
    # In one piece, for which the device is waited for once.
    assert len({v.untyped_storage().data_ptr() for v in log.values()}) == 1


def test_other_losses_than_those_of_the_step_are_looked_at_anew(batch):
    model = distil()
    losses = losses_of(model, batch)
    losses['loss_extra'] = torch.ones(2, requires_grad=True)
    total, log = model.parse_losses(losses)
    assert log['loss'] == total and log['loss_extra'] == 1
    assert list(log) == ['loss', *losses]


def test_a_student_learns_from_its_own_losses_only(batch):
    model = distil(num_students=3)
    losses = losses_of(model, batch)
    own = [
        v for k, v in losses.items() if k.split('.')[1] == 'student1' and 'loss' in k
    ]
    sum(own).backward()
    for name, student in model.cohort.items():
        touched = [
            p.grad is not None and bool(p.grad.any()) for p in student.parameters()
        ]
        assert any(touched) == (name == 'student1')


def test_one_student_with_mmrazors_loss_is_mmrazor():
    ours = distil(
        num_students=1, distiller=dict(type='mmdckd.CollectiveDistiller', **KD)
    )
    with DefaultScope.overwrite_default_scope('mmrazor'):
        theirs = RAZOR_MODELS.build(
            dict(
                type='SingleTeacherDistill',
                architecture=dict(
                    network(),
                    _scope_='mmpretrain',
                    data_preprocessor=dict(PREPROCESSOR),
                ),
                teacher=dict(
                    network(34),
                    _scope_='mmpretrain',
                    data_preprocessor=dict(PREPROCESSOR),
                ),
                distiller=dict(type='ConfigurableDistiller', **KD),
            )
        )
    theirs.architecture.load_state_dict(ours.cohort.students['student0'].state_dict())
    theirs.teacher.load_state_dict(ours.teachers[0].model.state_dict())

    for mine, razors in zip(train(ours), train(theirs)):
        assert mine['student.student0.loss'] == razors['student.loss']
        assert mine['distill.student0.loss_kl'] == razors['distill.loss_kl']
        assert mine['loss'] == razors['loss']
    student = ours.cohort.students['student0']
    for p, q in zip(student.parameters(), theirs.architecture.parameters()):
        assert torch.equal(p, q)


def test_one_student_alone_is_mmpretrain():
    ours = distil(
        num_students=1, teacher=None, distiller=dict(type='mmdckd.CollectiveDistiller')
    )
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        plain = RAZOR_MODELS.build(
            dict(network(), _scope_='mmpretrain', data_preprocessor=dict(PREPROCESSOR))
        )
    plain.init_weights()
    for mine, theirs in zip(train(ours), train(plain)):
        assert mine['loss'] == theirs['loss']
    for p, q in zip(ours.parameters(), plain.parameters()):
        assert torch.equal(p, q)


def test_peers_change_nothing_about_how_the_first_student_starts():
    alone, cohort = (
        distil(
            num_students=1,
            teacher=None,
            distiller=dict(type='mmdckd.CollectiveDistiller'),
        ),
        distil(num_students=3),
    )
    for p, q in zip(
        alone.cohort.students['student0'].parameters(),
        cohort.cohort.students['student0'].parameters(),
    ):
        assert torch.equal(p, q)
    firsts = [s.backbone.conv1.weight for s in cohort.cohort.students.values()]
    assert not torch.equal(firsts[0], firsts[1])
    assert not torch.equal(firsts[1], firsts[2])
    again = distil(num_students=3)
    for p, q in zip(cohort.parameters(), again.parameters()):
        assert torch.equal(p, q)


def test_the_teacher_is_outside_of_everything():
    model = distil()
    teacher = model.teachers[0].model
    theirs = {id(p) for p in teacher.parameters()}
    assert theirs
    assert not theirs & {id(p) for p in model.parameters()}
    assert not any('teacher' in key for key in model.state_dict())
    model.train()
    assert not any(m.training for m in teacher.modules())
    assert not any(p.requires_grad for p in teacher.parameters())
    ema = ExponentialMovingAverage(model)
    assert ema.module.teachers[0] is model.teachers[0]
    assert not theirs & {id(p) for p in ema.parameters()}


def test_the_teacher_never_changes():
    model = distil()
    before = copy.deepcopy(model.teachers[0].model.state_dict())
    train(model)
    for key, value in model.teachers[0].model.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize(
    'move, dtype',
    [
        (lambda m: m.double(), torch.float64),
        (lambda m: m.half(), torch.float16),
        (lambda m: m.to(torch.bfloat16), torch.bfloat16),
    ],
)
def test_the_teacher_follows_device_and_type(move, dtype):
    model = move(distil())
    assert next(model.teachers[0].model.parameters()).dtype == dtype
    assert next(model.parameters()).dtype == dtype


def test_the_teacher_does_not_run_when_nobody_needs_it(batch):
    model = distil(
        distiller=dict(
            type='mmdckd.CollectiveDistiller',
            collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss', alpha=0.0)),
        )
    )
    calls = []
    model.teachers[0].model.register_forward_hook(lambda *_: calls.append(1))
    losses = losses_of(model, batch)
    assert not calls
    assert 'collective.student0.loss_dckd.teacher' not in losses


def test_distillation_can_be_stopped(batch):
    model = distil()
    model.distillation_stopped = True
    calls = []
    model.teachers[0].model.register_forward_hook(lambda *_: calls.append(1))
    assert set(losses_of(model, batch)) == {
        'student.student0.loss',
        'student.student1.loss',
    }
    assert not calls


def test_without_the_task_only_distillation_is_left(batch):
    model = distil(calculate_student_loss=False)
    assert not any(k.startswith('student.') for k in losses_of(model, batch))


def test_mixed_cohort(batch):
    model = distil(students=dict(main=network(18), wide=network(18, width=8)))
    losses = losses_of(model, batch)
    assert 'collective.wide.loss_dckd.collective' in losses
    assert [
        k
        for k in model.state_dict()
        if k.startswith('architecture.students.wide.backbone')
    ]
    assert model.cohort.configs['wide']['backbone']['base_channels'] == 8


def test_soft_labels_of_batch_augments_are_used(batch):
    net = network(train_cfg=dict(augments=dict(type='Mixup', alpha=1.0)))
    model = distil(
        architecture=net,
        distiller=dict(
            type='mmdckd.CollectiveDistiller',
            collective_losses=dict(
                loss_dckd=dict(type='mmdckd.DCKDLoss', correlation='non_target')
            ),
        ),
    )
    data = model.data_preprocessor(batch, True)
    assert data['data_samples'][0].gt_score.shape == (10,)
    losses = model(**data, mode='loss')
    assert all(torch.isfinite(v).all() for v in losses.values())


def test_prediction_of_every_member(batch):
    model = distil(num_students=2).eval()
    data = model.data_preprocessor(batch, False)
    members = model.predict_members(**data)
    assert list(members) == ['student0', 'student1', 'ensemble', 'teacher']
    assert not any('pred_score' in s for s in data['data_samples'])
    for name, student in [*model.cohort.items(), ('teacher', model.teachers[0].model)]:
        expected = student(data['inputs'], mode='tensor').softmax(-1)
        scores = torch.stack([s.pred_score for s in members[name]])
        torch.testing.assert_close(scores, expected)
        assert [int(s.gt_label) for s in members[name]] == [
            int(s.gt_label) for s in batch['data_samples']
        ]
    mean = (members['student0'][3].pred_score + members['student1'][3].pred_score) / 2
    torch.testing.assert_close(members['ensemble'][3].pred_score, mean)
    assert int(members['ensemble'][3].pred_label) == int(mean.argmax())
    first = model(**data, mode='predict')
    assert torch.equal(first[0].pred_score, members['student0'][0].pred_score)


def test_students_that_would_stay_equal_are_refused(batch):
    model = distil(num_students=3)
    students = model.cohort.students
    students['student2'].load_state_dict(students['student0'].state_dict())
    with pytest.raises(ValueError, match="'student0' and 'student2'.*equal"):
        losses_of(model, batch)


def kd(**loss):
    """The distiller of KD, whose loss has further options."""
    loss = dict(type='KLDivergence', tau=3.0, **loss)
    return dict(
        type='mmdckd.CollectiveDistiller',
        **{**copy.deepcopy(KD), 'distill_losses': dict(loss_kl=loss)},
    )


def with_connectors():
    cfg = kd()
    linear = dict(in_features=10, out_features=10)
    cfg['connectors'] = dict(
        own=dict(type='TorchNNConnector', module_name='Linear', module_args=linear)
    )
    cfg['loss_forward_mappings']['loss_kl']['preds_S']['connector'] = 'own'
    return cfg


@pytest.mark.parametrize(
    'distiller, differ',
    [
        (kd(), False),
        (with_connectors(), True),
        (kd(students=['student0']), True),
        (kd(students=['student2']), False),
    ],
    ids=['same_loss', 'connectors', 'loss_of_one', 'loss_of_another'],
)
def test_equal_students_may_learn_different_things(batch, distiller, differ):
    model = distil(3, distiller=distiller)
    students = model.cohort.students
    students['student1'].load_state_dict(students['student0'].state_dict())
    spread = copy.copy(model)
    spread.exchange = Exchange(SimpleNamespace(peers=None), model.cohort)
    if not differ:
        for each in (model, spread):
            with pytest.raises(ValueError, match="'student0' and 'student1'.*equal"):
                check_first_step(each)
        return
    check_first_step(spread)
    losses = losses_of(model, batch)
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    first, second = (students[f'student{i}'].head.fc.weight.grad for i in range(2))
    assert (first - second).norm() > 0.01 * first.norm()


def test_equal_students_with_dropout_may_start_equal(batch):
    model = distil(
        architecture=resumed.student(),
        teacher=None,
        distiller=dict(type='mmdckd.CollectiveDistiller'),
    )
    students = model.cohort.students
    students['student1'].load_state_dict(students['student0'].state_dict())
    assert losses_of(model, batch)


@pytest.mark.parametrize(
    'cfg, message',
    [
        (dict(num_students=0), 'Invalid `num_students`: expected .* got 0'),
        (dict(num_students=-1), 'Invalid `num_students`: expected .* got -1'),
        (dict(num_students='2'), "Invalid `num_students`: expected .* got '2'"),
        (dict(students=dict(a=network()), architecture=network()), 'got both'),
        (dict(architecture=None), 'got neither'),
        (dict(students=dict(), architecture=None), '`students`: expected at least one'),
        (
            dict(students=dict(a=network()), architecture=None, num_students=2),
            '`num_students`: expected None or 1, .* got 2',
        ),
        (
            dict(students=dict(teacher=network()), architecture=None),
            "not reserved, got 'teacher'",
        ),
        (
            dict(students={'a.b': network()}, architecture=None),
            "got 'a.b'. Did you mean 'a_b'",
        ),
        (
            dict(
                students=dict(a=network(), b=network(num_classes=7)), architecture=None
            ),
            'a: 10, b: 7',
        ),
        (
            dict(architecture=network(num_classes=5)),
            '`teacher`: expected a network of 5 classes, .* got 10',
        ),
        (dict(teacher=None, teacher_ckpt='a.pth'), '`teacher_ckpt`'),
        (
            dict(allow_random_teacher=False),
            '`teacher`: expected a network with trained weights',
        ),
        (dict(architecture=dict(depth=18)), '`architecture`: expected `cfg_path`'),
        (dict(architecture=dict(cfg_path='no/such.py')), 'expected an existing file'),
        (
            dict(architecture=dict(cfg_path='mmpretrain::no/such.py')),
            'expected a config of an installed',
        ),
        (dict(teacher=None), 'loss_dckd`: .*teacher'),
        (dict(num_students=1), 'needs peers'),
    ],
)
def test_bad_configs_are_named(cfg, message):
    base = dict(
        architecture=network(),
        num_students=2,
        teacher=network(34),
        allow_random_teacher=True,
        distiller=dict(
            type='mmdckd.CollectiveDistiller',
            collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
        ),
    )
    if 'students' in cfg:
        base.pop('num_students')
    base.update(cfg)
    with pytest.raises(ValueError, match=message):
        build(**base)


@pytest.mark.parametrize(
    'option',
    [
        'teacher_trainable',
        'teacher_norm_eval',
        'allow_random_teacher',
        'student_trainable',
        'calculate_student_loss',
        'module_inplace',
        'channels_last',
        'cuda_graphs',
    ],
)
def test_a_word_is_neither_true_nor_false(option):
    """'False' counted as True."""
    with pytest.raises(ValueError, match=f"`{option}`: expected True or False, got '"):
        distil(**{option: 'False'})


def test_a_network_that_is_no_dict_is_refused():
    with pytest.raises(TypeError, match='`architecture`'):
        distil(architecture=3)


def test_students_always_have_something_to_learn_from(batch):
    model = distil(calculate_student_loss=False)
    model.distillation_stopped = True
    with pytest.raises(ValueError, match='`model.calculate_student_loss`.*Stop'):
        losses_of(model, batch)


@pytest.mark.parametrize('teacher', [None, []])
def test_a_teacher_that_trains_must_be_there(teacher):
    with pytest.raises(ValueError, match='`teacher_trainable`: expected False without'):
        distil(teacher=teacher, teacher_trainable=True)
