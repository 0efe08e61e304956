# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
import torch

from helpers.networks import distil, losses_of, network
from mmdckd.models.distillers.statistics import cohort_statistics
from mmdckd.models.tasks import Classification

DCKD = dict(loss_dckd=dict(type='mmdckd.DCKDLoss'))


def distiller(**cfg):
    return dict(type='mmdckd.CollectiveDistiller', **cfg)


def test_statistics_by_their_formulas():
    torch.manual_seed(0)
    logits = torch.randn(3, 5, 4)
    statistics = cohort_statistics('abc', logits, Classification())
    probs = logits.softmax(-1)
    for i, name in enumerate('abc'):
        entropy = -(probs[i] * probs[i].log()).sum(1).mean()
        torch.testing.assert_close(statistics[f'collective.{name}.entropy'], entropy)
    top = logits.argmax(-1)
    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    agree = sum((top[i] == top[j]).float().mean() for i, j in pairs) / 6
    torch.testing.assert_close(statistics['collective.agreement'], agree)
    assert set(cohort_statistics('a', logits[:1], Classification())) == {
        'collective.a.entropy'
    }


def test_each_term_is_credited_to_the_student_that_it_trains(batch):
    model = distil(num_students=3)
    losses = losses_of(model, batch)
    weights = {n: each.backbone.conv1.weight for n, each in model.cohort.items()}
    for name in weights:
        for term in ('teacher', 'collective', 'correlation'):
            gradients = torch.autograd.grad(
                losses[f'collective.{name}.loss_dckd.{term}'],
                weights.values(),
                retain_graph=True,
                allow_unused=True,
            )
            moved = [n for n, g in zip(weights, gradients) if g is not None and g.any()]
            assert moved == [name], term


def test_every_student_has_connectors_of_its_own(batch):
    feature = dict(type='ModuleOutputs', source='backbone.layer4.1.bn2')
    model = distil(
        teacher=network(34, width=8),
        distiller=distiller(
            collective_losses=DCKD,
            student_recorders=dict(feat=feature),
            teacher_recorders=dict(feat=dict(feature, source='backbone.layer4.2.bn2')),
            connectors=dict(
                up=dict(type='ConvModuleConnector', in_channel=32, out_channel=64)
            ),
            distill_losses=dict(loss_feat=dict(type='L2Loss')),
            loss_forward_mappings=dict(
                loss_feat=dict(
                    s_feature=dict(recorder='feat', from_student=True, connector='up'),
                    t_feature=dict(recorder='feat', from_student=False),
                )
            ),
        ),
    )
    losses = losses_of(model, batch)
    losses['distill.student0.loss_feat'].backward()
    ups = {
        name: list(d.connectors['up'].parameters())
        for name, d in model.distiller.student_distillers.items()
    }
    assert not torch.equal(ups['student0'][0], ups['student1'][0])
    assert ups['student0'][0].grad.any()
    assert ups['student1'][0].grad is None
    assert 'distill.student1.loss_feat' in losses


def test_deliveries_reach_every_student(batch):
    """The teacher's pooled features are put in the place of the students'."""
    model = distil(
        num_students=3,
        distiller=distiller(
            collective_losses=DCKD,
            distill_deliveries=dict(
                gap=dict(
                    type='MethodOutputs',
                    max_keep_data=1,
                    method_path='mmpretrain.models.necks.gap.'
                    'GlobalAveragePooling.forward',
                )
            ),
        ),
    )
    seen = []
    members = [model.teachers[0].model, *model.cohort.students.values()]
    for member in members:
        member.head.register_forward_pre_hook(lambda _, args: seen.append(args[0][-1]))
    losses_of(model, batch)
    assert len(seen) == 4
    assert all(torch.equal(seen[0], other) for other in seen[1:])


def test_method_recorders_of_teacher_and_students(batch):
    recorder = dict(
        type='MethodOutputs',
        source='mmpretrain.models.heads.linear_head.LinearClsHead.pre_logits',
    )
    model = distil(
        distiller=distiller(
            student_recorders=dict(pre=recorder),
            teacher_recorders=dict(pre=recorder),
            distill_losses=dict(loss_l2=dict(type='L2Loss')),
            loss_forward_mappings=dict(
                loss_l2=dict(
                    s_feature=dict(recorder='pre', from_student=True),
                    t_feature=dict(recorder='pre', from_student=False),
                )
            ),
        )
    )
    losses = losses_of(model, batch)
    assert losses['distill.student0.loss_l2'] != losses['distill.student1.loss_l2']
    losses['distill.student1.loss_l2'].backward()
    students = model.cohort.students
    assert students['student1'].backbone.conv1.weight.grad.any()
    assert students['student0'].backbone.conv1.weight.grad is None


def inplace(model):
    networks = [model.cohort, *(t.model for t in model.teachers)]
    return {m.inplace for n in networks for m in n.modules() if hasattr(m, 'inplace')}


def test_inplace_activations_do_not_overwrite_what_is_recorded(batch):
    recorders = dict(pre=dict(type='ModuleOutputs', source='backbone.layer1.0.bn1'))
    model = distil(
        distiller=distiller(collective_losses=DCKD, student_recorders=recorders)
    )
    assert inplace(model) == {False}
    losses_of(model, batch)
    recorder = model.distiller.student_distillers[
        'student0'
    ].student_recorders.get_recorder('pre')
    assert (recorder.get_record_data() < 0).any()


@pytest.mark.parametrize(
    'cfg, expected',
    [
        (dict(collective_losses=DCKD), True),
        (
            dict(
                student_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc'))
            ),
            True,
        ),
        (
            dict(
                student_recorders=dict(fc=dict(type='ModuleInputs', source='head.fc'))
            ),
            False,
        ),
        (
            dict(
                teacher_recorders=dict(pool=dict(type='ModuleOutputs', source='neck'))
            ),
            False,
        ),
        (
            dict(
                collective_losses=DCKD,
                teacher_logits=dict(type='ModuleOutputs', source='head.fc'),
            ),
            False,
        ),
        (dict(student_distiller=dict(type='BYOTDistiller')), False),
    ],
)
def test_activations_stay_in_place_where_logits_alone_are_recorded(cfg, expected):
    assert inplace(distil(distiller=distiller(**cfg))) == {expected}
    assert inplace(distil(distiller=distiller(**cfg), module_inplace=True)) == {True}


def test_no_graph_is_kept_after_the_losses(batch):
    model = distil()
    losses_of(model, batch)
    recorders = model.distiller._recorders
    members = [*recorders._students.values(), *recorders._teachers]
    assert len(members) == 3
    for member in members:
        assert member.recorders['logits'].recorder.data_buffer == []


def test_logits_from_elsewhere(batch):
    model = distil(
        distiller=distiller(
            collective_losses=DCKD,
            student_logits=dict(type='ModuleOutputs', source='head.fc'),
            teacher_logits=dict(type='ModuleOutputs', source='head.fc'),
        )
    )
    other = distil(distiller=distiller(collective_losses=DCKD))
    assert losses_of(model, batch) == losses_of(other, batch)


@pytest.mark.parametrize(
    'cfg, message',
    [
        (
            dict(student_logits=dict(type='ModuleOutputs', source='head.fcc')),
            "source`: expected .*'head.fcc'. Did you mean 'head.fc",
        ),
        (
            dict(
                student_recorders=dict(
                    a=dict(type='ModuleOutputs', source='backbone.layer9')
                )
            ),
            "student_recorders.a.source.*Did you mean 'backbone.layer",
        ),
        (
            dict(teacher_recorders=dict(a=dict(type='ModuleInputs', source='hed'))),
            "teacher_recorders.a.source.*Did you mean 'head",
        ),
        (
            dict(
                student_recorders=dict(
                    a=dict(type='Parameter', source='head.fc.weigth')
                )
            ),
            "a.source`: expected a parameter .*Did you mean 'head.fc.weight",
        ),
        (
            dict(collective_losses=dict(dckd=dict(type='mmdckd.DCKDLoss'))),
            "Did you mean 'loss_dckd'",
        ),
        (
            dict(collective_losses=dict(loss_l1=dict(type='mmrazor.L1Loss'))),
            'loss_l1`: expected a loss for a cohort.*L1Loss.*distill_losses',
        ),
        (dict(student_logits='head.fc'), "student_logits`: .*, got 'head.fc'"),
        (dict(teacher_logits=dict(source='head')), 'teacher_logits`: .*, got {'),
    ],
)
def test_bad_configs_are_named(cfg, message):
    with pytest.raises((TypeError, ValueError), match=message):
        distil(distiller=distiller(**{'collective_losses': DCKD, **cfg}))


def test_a_loss_without_inputs_is_told(monkeypatch):
    """Once; MMRazor's config of Factor Transfer has one for its pretraining."""
    told = []
    module = 'mmdckd.models.distillers.student_distillers'
    monkeypatch.setattr(f'{module}.warn', told.append)
    distil(distiller=distiller(distill_losses=dict(loss_l1=dict(type='L1Loss'))))
    (message,) = told
    assert 'not computed' in message and message.endswith("['loss_l1'].")


def test_a_loss_with_too_few_values_is_named(batch):
    model = distil(distiller=distiller(collective_losses=DCKD))
    loss = model.distiller.collective_losses.loss_dckd
    terms = loss.terms
    loss.terms = lambda *args: {k: v[:1] for k, v in terms(*args).items()}
    with pytest.raises(ValueError, match=r'loss_dckd.teacher`: .*2 students, .*\(1,\)'):
        losses_of(model, batch)


def test_logits_that_are_none_are_refused(batch):
    model = distil(
        distiller=distiller(
            collective_losses=DCKD,
            student_logits=dict(type='ModuleOutputs', source='backbone'),
        )
    )
    with pytest.raises(TypeError, match=r'a tensor of shape \(16, 32, 1, 1\)'):
        losses_of(model, batch)


def test_recorders_of_a_teacher_that_is_not_there():
    with pytest.raises(ValueError, match='Invalid `teacher`'):
        distil(
            teacher=None,
            distiller=distiller(
                teacher_recorders=dict(a=dict(type='ModuleOutputs', source='head'))
            ),
        )


def make_network(num_classes):
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, num_classes))


def of_classes(num_classes):
    """A network whose head does not know its number of classes."""
    return dict(
        type='ImageClassifier',
        backbone=dict(
            type='mmdckd.ModuleBackbone',
            module=f'{__name__}.make_network',
            num_classes=num_classes,
        ),
        head=dict(type='ClsHead', loss=dict(type='CrossEntropyLoss')),
    )


TEN, TWELVE = of_classes(10), of_classes(12)


@pytest.mark.parametrize('views', ['shared', 'independent'])
@pytest.mark.parametrize(
    'cfg, message',
    [
        (dict(students=dict(a=TEN, b=TWELVE)), '`students`: .*, got a: 10, b: 12'),
        (
            dict(architecture=TEN, teacher=[TEN, TWELVE]),
            '`teacher`: .*, got teacher0: 10, teacher1: 12',
        ),
        (
            dict(architecture=TEN, teacher=None, finished_peers=[TWELVE, TEN]),
            '`model.finished_peers`: .*, got finished peer 0: 12, finished peer 1: 10',
        ),
    ],
    ids=['students', 'teachers', 'finished_peers'],
)
def test_members_of_other_classes_are_named_in_the_first_step(
    batch, cfg, message, views
):
    loss = dict(type='mmdckd.DCKDLoss', gamma=0.0)
    if cfg.get('teacher', TEN) is None:
        loss['alpha'] = 0.0
    model = distil(
        distiller=distiller(collective_losses=dict(loss_dckd=loss)), views=views, **cfg
    ).train()
    each = getattr(model.data_preprocessor, 'each', model.data_preprocessor)
    data = each(batch, True)
    inputs, samples = data['inputs'], data['data_samples']
    if views == 'independent':
        inputs, samples = [inputs] * 2, [samples] * 2
    with pytest.raises(ValueError, match=message):
        model(inputs, samples, mode='loss')


def test_an_ensemble_of_other_classes_is_named(batch):
    """Without a collective loss, nothing else compares the students."""
    students = dict(a=TEN, b=TWELVE)
    model = distil(students=students, teacher=None, distiller=distiller()).eval()
    with pytest.raises(ValueError, match='`students`: .*, got a: 10, b: 12'):
        model.predict_members(**model.data_preprocessor(batch, False))
