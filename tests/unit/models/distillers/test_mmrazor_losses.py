# Copyright (c) mmdckd contributors. All rights reserved.
"""Every loss, connector and distiller of MMRazor trains inside a cohort, and
with one student gives MMRazor's numbers."""

import pytest
import torch
from mmengine.registry import DefaultScope
from mmrazor.models import (
    OverhaulFeatureDistillation,
    SelfDistill,
    SingleTeacherDistill,
    losses,
)
from mmrazor.models.architectures import connectors

from mmdckd.registry import MODELS
from studies.razor.catalog import CONNECTORS, LOSSES, OTHERS
from studies.razor.check import build, digits, fault_of, network

CASES = {**LOSSES, **OTHERS}
STUDENTS = {name: case for name, case in CASES.items() if case.trains_student}


def losses_of(model, batch=None):
    torch.manual_seed(1)
    data = model.data_preprocessor(batch or digits(16), True)
    return model(**data, mode='loss')


def test_catalog_has_all_that_mmrazor_has():
    # Base classes of others, which cannot be used themselves.
    assert set(LOSSES) == set(losses.__all__) - {'DAFLLoss'}
    assert set(CONNECTORS) == set(connectors.__all__)
    for name, case in LOSSES.items():
        assert case.loss['type'].split('.')[-1] == name
    for name, case in CONNECTORS.items():
        assert f"'type': '{name}'" in str(case.connectors)


@pytest.mark.parametrize('name', CASES)
def test_trains_alone(name):
    assert fault_of(CASES[name]) is None


@pytest.mark.parametrize('name', STUDENTS)
def test_trains_with_dckd(name):
    assert fault_of(STUDENTS[name], with_dckd=True) is None


def test_a_loss_that_does_not_train_is_found():
    """The check of the two tests above sees what is wrong."""
    assert 'does not fall' in fault_of(LOSSES['KLDivergence'], steps=1)
    assert 'Not finite' in fault_of(
        LOSSES['KLDivergence']._replace(
            loss=dict(type='KLDivergence', loss_weight=1e39)
        )
    )
    from_teacher = LOSSES['L2Loss']._replace(
        inputs=OTHERS['paraphraser_pretraining'].inputs,
        connectors=OTHERS['paraphraser_pretraining'].connectors,
    )
    assert 'does not reach it' in fault_of(from_teacher)


def by_mmrazor(case, cohort):
    """MMRazor's own algorithm with the weights of a cohort of one."""
    algorithm = {
        'ConfigurableDistiller': SingleTeacherDistill,
        'OFDDistiller': OverhaulFeatureDistillation,
        'BYOTDistiller': SelfDistill,
    }[case.distiller]
    parts = case.parts()
    parts['type'] = parts.pop('student_distiller')['type']
    cfg = dict(distiller=parts)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        student = MODELS.build(network(4))
        if algorithm is not SelfDistill:
            cfg['teacher'] = MODELS.build(network(8))
    student.load_state_dict(cohort.cohort.students['student0'].state_dict())
    if 'teacher' in cfg:
        # Before its statistics are looked at.
        cfg['teacher'].load_state_dict(cohort.teachers[0].model.state_dict())
    with DefaultScope.overwrite_default_scope('mmrazor'):
        model = algorithm(architecture=student, **cfg)
    model.distiller.load_state_dict(
        cohort.distiller.student_distillers['student0'].state_dict()
    )
    model.train()
    return model


@pytest.mark.parametrize(
    'name',
    [
        'KLDivergence',
        'DISTLoss',
        'DKDLoss',
        'L2Loss',
        'FBKDLoss',
        'MGDLoss',
        'CRDLoss',
        'OFDLoss',
        'byot',
    ],
)
def test_one_student_gives_the_numbers_of_mmrazor(name):
    case = CASES[name]
    ours = build(case, num_students=1, calculate_student_loss=True)
    theirs = by_mmrazor(case, ours)
    data = ours.data_preprocessor(digits(16), True)
    optimizers = [
        torch.optim.SGD(
            [p for p in model.parameters() if p.requires_grad], lr=0.01, momentum=0.9
        )
        for model in (ours, theirs)
    ]
    values = []
    for step in range(4):
        rows = []
        for model, optimizer in zip((ours, theirs), optimizers):
            torch.manual_seed(step)
            row = model(**data, mode='loss')
            optimizer.zero_grad()
            sum(value.mean() for value in row.values()).backward()
            optimizer.step()
            rows.append(row)
        for key in ('student{}.loss', 'distill{}.loss_razor'):
            value = rows[0][key.format('.student0')]
            assert torch.equal(value, rows[1][key.format('')])
        values.append(float(value.mean()))
    assert len(set(values)) == 4
    pairs = [
        (ours.cohort.students['student0'], theirs.architecture),
        (ours.distiller.student_distillers['student0'], theirs.distiller),
    ]
    for own, other in pairs:
        state = other.state_dict()
        assert all(
            torch.equal(value, state[key]) for key, value in own.state_dict().items()
        )
        assert own.state_dict().keys() == state.keys()


def test_function_delivery_reaches_every_student():
    """The teacher's pooled features are put in the place of the students'."""
    model = build(
        LOSSES['KLDivergence'],
        teacher=network(4),
        distiller=dict(
            type='CollectiveDistiller',
            distill_deliveries=dict(
                pool=dict(
                    type='FunctionOutputs',
                    max_keep_data=1,
                    func_path='torch.nn.functional.adaptive_avg_pool2d',
                )
            ),
            **LOSSES['KLDivergence'].parts(),
        ),
    )
    seen = []
    for member in [model.teachers[0].model, *model.cohort.students.values()]:
        member.neck.register_forward_hook(
            lambda module, args, outputs: seen.append(outputs[-1])
        )
    losses_of(model)
    teacher, *students = seen
    assert len(students) == 2
    assert all(torch.equal(teacher, student) for student in students)


def test_byot_teaches_each_student_by_itself():
    case = OTHERS['byot']
    alone = losses_of(build(case, teacher=None))
    assert 'distill.student1.loss_razor' in alone
    # A teacher beside it is DCKD's, and changes nothing.
    beside = losses_of(build(case, with_dckd=True))
    for name in ('student0', 'student1'):
        key = f'distill.{name}.loss_razor'
        assert torch.equal(alone[key], beside[key])
        assert f'collective.{name}.loss_dckd.teacher' in beside


def test_ofd_takes_its_margins_from_the_teacher():
    """The mean of the negative half of N(bias, weight^2), per channel."""
    model = build(LOSSES['OFDLoss'])
    normal = torch.distributions.Normal(0.0, 1.0)
    norm = model.teachers[0].model.backbone.layer2[1].bn1
    weight, bias = norm.weight.abs(), norm.bias
    margin = bias - weight * normal.log_prob(-bias / weight).exp() / normal.cdf(
        -bias / weight
    )
    for distiller in model.distiller.student_distillers.values():
        torch.testing.assert_close(
            distiller.connectors['margin'].margin.flatten(), margin
        )


@pytest.mark.parametrize('name', ['L2Loss', 'DKDLoss', 'WSLD', 'OFDLoss'])
def test_a_trainable_teacher_takes_no_gradient_from_them(name):
    """It learns the task and nothing from the students; not every loss of
    MMRazor detaches its target."""
    model = build(LOSSES[name], teacher_trainable=True)
    for key, value in losses_of(model).items():
        if key.startswith('distill'):
            value.backward(retain_graph=True)
    assert all(p.grad is None for p in model.teachers.parameters())
    assert all(
        student.backbone.conv1.weight.grad.any()
        for student in model.cohort.students.values()
    )


def test_connectors_are_pretrained_without_the_students():
    model = build(OTHERS['paraphraser_pretraining'])
    loss = losses_of(model)
    assert not any('student.' in name for name in loss)
    sum(loss.values()).backward()
    assert all(p.grad is None for p in model.cohort.parameters())
    for distiller in model.distiller.student_distillers.values():
        assert all(p.grad.any() for p in distiller.parameters())


def test_students_that_do_not_learn_have_no_loss():
    with pytest.raises(ValueError, match='`calculate_student_loss`: expected False'):
        build(
            LOSSES['KLDivergence'], student_trainable=False, calculate_student_loss=True
        )


def mixed(**losses):
    """Two students of which each has features of its own."""
    students = dict(narrow=network(4), wide=network(8))
    feature = LOSSES['L2Loss']
    parts = feature.parts()
    parts.update(
        distill_losses=losses,
        loss_forward_mappings={
            loss: feature.inputs if loss == 'loss_l2' else LOSSES['KLDivergence'].inputs
            for loss in losses
        },
    )
    for side in ('student_recorders', 'teacher_recorders'):
        parts[side] = {**LOSSES['KLDivergence'].parts()[side], **feature.parts()[side]}
    return build(
        feature,
        architecture=None,
        num_students=None,
        students=students,
        distiller=dict(type='CollectiveDistiller', **parts),
    )


def test_a_loss_is_given_to_some_students_only():
    model = mixed(
        loss_l2=dict(type='L2Loss', students=['narrow']),
        loss_kl=dict(type='KLDivergence'),
    )
    distillers = model.distiller.student_distillers
    assert list(distillers['narrow'].connectors) == ['wider']
    assert not distillers['wide'].connectors
    assert list(distillers['wide'].student_recorders.recorders) == ['logits']
    found = {name for name in losses_of(model) if 'loss' in name}
    assert found == {
        'distill.narrow.loss_l2',
        'distill.narrow.loss_kl',
        'distill.wide.loss_kl',
    }


def test_a_recorder_that_does_not_fit_names_its_student():
    feature = LOSSES['L2Loss']
    parts = feature.parts()
    students = dict(narrow=network(4), wide=network(8))
    students['wide'].pop('neck')
    with pytest.raises(ValueError) as caught:
        parts['student_recorders']['vector'] = dict(type='ModuleOutputs', source='neck')
        build(
            feature,
            architecture=None,
            num_students=None,
            students=students,
            distiller=dict(type='CollectiveDistiller', **parts),
        )
    message = str(caught.value)
    assert message.startswith('`students.wide`: Invalid `distiller.student_recorders.')


@pytest.mark.parametrize('students', ['narrow', [], ['narrow', 'nobody']])
def test_a_loss_is_given_to_students_that_exist(students):
    with pytest.raises(ValueError, match='loss_kl.students.*narrow.*wide'):
        mixed(loss_kl=dict(type='KLDivergence', students=students))


def without_connector(loss, student='feature', teacher='feature', **kwargs):
    case = LOSSES[loss]
    s_key, t_key = case.inputs
    recorders = {True: student, False: teacher}
    return case._replace(
        loss=dict(case.loss, **kwargs),
        connectors={},
        inputs={
            key: dict(recorder=recorders[side], from_student=side)
            for key, side in ((s_key, True), (t_key, False))
        },
    )


def message_of(case):
    with pytest.raises(ValueError) as caught:
        losses_of(build(case))
    return str(caught.value)


def repaired(case, message, loss='loss_razor'):
    """Do what the message says."""
    key = next(iter(case.inputs))
    name = f'{loss}_{key}'
    line = message.split(f'{name}=')[1].split(' to `distiller')[0]
    inputs = dict(case.inputs)
    inputs[key] = dict(inputs[key], connector=name)
    return case._replace(connectors={name: eval(line)}, inputs=inputs)


@pytest.mark.parametrize(
    'case, shapes',
    [
        (without_connector('L2Loss'), ('(16, 8, 4, 4)', '(16, 16, 4, 4)')),
        (
            without_connector('L1Loss', student='small'),
            ('(16, 16, 2, 2)', '(16, 16, 4, 4)'),
        ),
        (
            without_connector('MGDLoss', teacher='small'),
            ('(16, 8, 4, 4)', '(16, 32, 2, 2)'),
        ),
        (without_connector('PKDLoss'), ('(16, 8, 4, 4)', '(16, 16, 4, 4)')),
        (
            without_connector('ATLoss', student='small'),
            ('(16, 16, 2, 2)', '(16, 16, 4, 4)'),
        ),
    ],
)
def test_shapes_that_differ_are_named_with_the_connector_that_helps(case, shapes):
    message = message_of(case)
    assert '`distiller.distill_losses.loss_razor`' in message
    assert all(shape in message for shape in shapes)
    assert fault_of(repaired(case, message), steps=2) is None


def test_vectors_are_brought_together_by_a_linear_layer():
    case = without_connector('L2Loss', 'vector', 'vector')
    for record in case.inputs.values():
        record['data_idx'] = 0
    message = message_of(case)
    assert '(16, 32)' in message and '(16, 64)' in message
    assert fault_of(repaired(case, message), steps=2) is None


@pytest.mark.parametrize('connector', [None, 'linear'])
def test_several_tensors_where_one_is_compared_are_named(connector):
    """A neck of MMPretrain returns a tuple."""
    case = without_connector('L2Loss', 'vector', 'vector')
    if connector:
        linear = dict(in_features=32, out_features=64)
        config = dict(type='TorchNNConnector', module_name='Linear', module_args=linear)
        case = case._replace(connectors=dict(linear=config))
        case.inputs['s_feature']['connector'] = connector
    message = message_of(case)
    key = '`distiller.loss_forward_mappings.loss_razor.s_feature.data_idx`'
    assert f'{key}: expected the index of one of the 1 values' in message
    for record in case.inputs.values():
        record['data_idx'] = -1
    if connector:
        assert fault_of(case, steps=2) is None


def test_shapes_are_never_spread_to_each_other():
    """torch would compare (16, 32) with (16, 32, 1, 1) as (16, 32, 16, 32)."""
    case = without_connector('L2Loss', 'vector', 'pooled', normalize=False)
    case.inputs['s_feature']['data_idx'] = 0
    message = message_of(case)
    assert '(16, 32)' in message and '(16, 64, 1, 1)' in message
    assert 'before, or both after' in message


def test_connector_that_returns_something_else_is_named():
    case = LOSSES['L2Loss']
    wider = dict(case.connectors['wider'], out_channel=12)
    message = message_of(case._replace(connectors=dict(wider=wider)))
    assert '`distiller.connectors.wider` return (16, 16, 4, 4)' in message
    assert '(16, 12, 4, 4)' in message


@pytest.mark.parametrize(
    'name, connector, change',
    [
        ('L2Loss', 'wider', dict(in_channel=12)),
        ('MGDLoss', 'generate', dict(student_channels=12)),
        ('CRDLoss', 'embed_student', dict(dim_in=12)),
        ('FTLoss', 'translator', dict(in_channel=12)),
    ],
)
def test_connector_made_for_other_channels_is_named(name, connector, change):
    case = LOSSES[name]
    changed = dict(case.connectors)
    changed[connector] = dict(changed[connector], **change)
    message = message_of(case._replace(connectors=changed))
    assert f'Invalid `distiller.connectors.{connector}`' in message
    assert "the student's `" in message
