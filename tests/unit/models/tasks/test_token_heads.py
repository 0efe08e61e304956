# Copyright (c) mmdckd contributors. All rights reserved.
"""Students whose class classifier learns from labels, and whose distillation
classifier learns from teacher and peers."""

import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS

from helpers.networks import PREPROCESSOR, distil, network, token_network

#: Head to its class classifier and its distillation classifier.
HEADS = dict(
    DeiTClsHead=('layers.head', 'layers.head_dist'),
    EfficientFormerClsHead=('head', 'dist_head'),
    LeViTClsHead=('head', 'head_dist'),
)
TIMM = dict(
    type='TimmClassifier',
    model_name='deit_tiny_distilled_patch16_224',
    img_size=8,
    patch_size=4,
    embed_dim=24,
    depth=1,
    num_classes=10,
)
NAMES = ('student0', 'student1')
TAU = 2.0
KL = dict(
    student_recorders=dict(scores=dict(type='ModuleOutputs', source='head')),
    teacher_recorders=dict(scores=dict(type='ModuleOutputs', source='head')),
    distill_losses=dict(loss_kl=dict(type='mmrazor.KLDivergence')),
    loss_forward_mappings=dict(
        loss_kl=dict(
            preds_S=dict(recorder='scores', from_student=True),
            preds_T=dict(recorder='scores', from_student=False),
        )
    ),
)


def dckd(**kwargs):
    """The teacher's and the peers' knowledge, at a temperature of 2."""
    loss = dict(type='mmdckd.DCKDLoss', gamma=0.0, tau=TAU, collector='mean')
    return dict(
        type='mmdckd.CollectiveDistiller', collective_losses=dict(loss_d=loss), **kwargs
    )


def kl(target, logits):
    log_p = (logits / TAU).log_softmax(1)
    return TAU**2 * F.kl_div(log_p, target.detach(), reduction='batchmean')


def classifiers(student):
    if hasattr(student, 'head'):
        names = HEADS[type(student.head).__name__.replace('Token', '')]
        return tuple(student.head.get_submodule(name) for name in names)
    return student.model.head, student.model.head_dist


def logits_of(student, inputs):
    """The logits of both classifiers, written by hand."""
    if not hasattr(student, 'head'):
        tokens = student.model.forward_features(inputs)
        feats = tokens[:, 0], tokens[:, 1]
    else:
        feats = student.extract_feat(inputs)[-1]
        feats = feats[-2:] if isinstance(feats, (list, tuple)) else (feats, feats)
    return tuple(layer(feat) for layer, feat in zip(classifiers(student), feats))


def plain(cfg):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return MODELS.build(copy.deepcopy(dict(cfg, data_preprocessor=PREPROCESSOR)))


def gradients(loss, layer):
    return torch.autograd.grad(
        loss, list(layer.parameters()), retain_graph=True, allow_unused=True
    )


@pytest.mark.parametrize('kind', [*HEADS, 'timm'])
def test_losses_and_gradients_are_those_of_the_formula(kind, batch):
    if kind == 'timm':
        pytest.importorskip('timm')
    cfg = TIMM if kind == 'timm' else token_network(kind)
    model = distil(architecture=cfg, teacher=network(), distiller=dckd()).train()
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    losses = model(**data, mode='loss')
    labels = torch.cat([sample.gt_label for sample in data['data_samples']])
    with torch.no_grad():
        teacher = model.teachers[0].model(data['inputs']).div(TAU).softmax(1)
    scores, distilled = zip(
        *(logits_of(each, data['inputs']) for _, each in model.cohort.items())
    )
    for i, name in enumerate(NAMES):
        peers = (distilled[1 - i] / TAU).softmax(1)
        expected = {
            f'student.{name}.loss': F.cross_entropy(scores[i], labels),
            f'collective.{name}.loss_d.teacher': kl(teacher, distilled[i]),
            f'collective.{name}.loss_d.collective': kl(peers, distilled[i]),
        }
        for key, value in expected.items():
            torch.testing.assert_close(losses[key], value, rtol=1e-4, atol=1e-5)
        own, others = (
            [each for key, each in losses.items() if key.startswith(f'{part}.{name}.')]
            for part in ('student', 'collective')
        )
        others = sum(loss for loss in others if loss.requires_grad)
        by_class, by_token = classifiers(model.cohort.students[name])
        for layer, learns, not_from, what in (
            (by_class, sum(own), others, [expected[f'student.{name}.loss']]),
            (by_token, others, sum(own), list(expected.values())[1:]),
        ):
            assert gradients(not_from, layer) == (None,) * len(list(layer.parameters()))
            for one, other in zip(
                gradients(learns, layer), gradients(sum(what), layer)
            ):
                assert one.abs().sum() > 0
                torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('kind', HEADS)
def test_a_student_predicts_as_mmpretrain_does(kind, batch):
    model = distil(architecture=token_network(kind)).eval()
    data = model.data_preprocessor(copy.deepcopy(batch), False)
    members = model.predict_members(**data)
    for name, student in model.cohort.items():
        alone = plain(model.cohort.configs[name])
        alone.load_state_dict(student.state_dict())
        for ours, theirs in zip(members[name], alone.eval().test_step(batch)):
            assert torch.equal(ours.pred_score, theirs.pred_score)
        with torch.no_grad():
            scores, distilled = logits_of(student, data['inputs'])
        expected = ((scores + distilled) / 2).softmax(1)
        for sample, row in zip(members[name], expected):
            torch.testing.assert_close(sample.pred_score, row)


@pytest.mark.parametrize('kind', HEADS)
def test_a_teacher_teaches_what_it_predicts(kind, batch):
    model = distil(teacher=token_network(kind), distiller=dckd()).train()
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    (said,), _ = model.teacher_pass.run(data['inputs'])
    with torch.no_grad():
        scores, distilled = logits_of(model.teachers[0].model, data['inputs'])
    torch.testing.assert_close(said['logits'], (scores + distilled) / 2)


@pytest.mark.parametrize('kind', HEADS)
def test_peers_that_lag_behind_are_asked_for_the_same(kind, batch):
    model = distil(architecture=token_network(kind), lagged_peers=dict()).train()
    model.lagged_peers.follow(model.cohort)
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    for name in NAMES:
        said = model.lagged_peers(name, data['inputs'])['logits']
        with torch.no_grad():
            _, distilled = logits_of(model.cohort.students[name].eval(), data['inputs'])
        torch.testing.assert_close(said, distilled)


@pytest.mark.parametrize('kind', HEADS)
def test_without_collective_losses_labels_teach_the_mean(kind, batch):
    model = distil(
        architecture=token_network(kind),
        distiller=dict(type='mmdckd.CollectiveDistiller', **KL),
    ).train()
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    losses = model(**data, mode='loss')
    student = model.cohort.students['student0']
    labels = torch.cat([sample.gt_label for sample in data['data_samples']])
    mean = sum(logits_of(student, data['inputs'])) / 2
    torch.testing.assert_close(
        losses['student.student0.loss'], F.cross_entropy(mean, labels)
    )
    assert losses['distill.student0.loss_kl'] > 0
    if kind == 'DeiTClsHead':  # which MMPretrain trains
        alone = plain(model.cohort.configs['student0']).train()
        alone.load_state_dict(student.state_dict())
        theirs = alone(**data, mode='loss')['loss']
        assert torch.equal(losses['student.student0.loss'], theirs)


@pytest.mark.parametrize('kind', HEADS)
@pytest.mark.parametrize('labels', [True, False])
def test_without_a_task_loss_others_teach_the_mean(kind, labels, batch):
    model = distil(
        architecture=token_network(kind), calculate_student_loss=False, distiller=dckd()
    ).train()
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    if not labels:
        for sample in data['data_samples']:
            del sample.gt_label
    losses = model(**data, mode='loss')
    student = model.cohort.students['student0']
    mean = sum(logits_of(student, data['inputs'])) / 2
    with torch.no_grad():
        teacher = model.teachers[0].model(data['inputs']).div(TAU).softmax(1)
    torch.testing.assert_close(
        losses['collective.student0.loss_d.teacher'],
        kl(teacher, mean),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize('kind', HEADS)
def test_labels_teach_a_trainable_teacher_the_mean(kind, batch):
    model = distil(
        teacher=token_network(kind), teacher_trainable=True, distiller=dckd()
    ).train()
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    losses = model(**data, mode='loss')
    labels = torch.cat([sample.gt_label for sample in data['data_samples']])
    mean = sum(logits_of(model.teachers[0].model, data['inputs'])) / 2
    torch.testing.assert_close(losses['teacher.loss'], F.cross_entropy(mean, labels))


@pytest.mark.parametrize('kind', HEADS)
def test_no_loss_of_mmrazor_takes_a_head_that_does_not_run(kind):
    source = 'head.' + HEADS[kind][1]
    with pytest.raises(
        ValueError, match=f'scores.source`.*separately.*mean {source!r}'
    ):
        distil(architecture=token_network(kind), distiller=dckd(**KL))
    recorders = dict(scores=dict(type='ModuleOutputs', source=source))
    distil(
        architecture=token_network(kind),
        distiller=dckd(**dict(KL, student_recorders=recorders)),
    )


def test_one_classifier_is_as_before(batch):
    cfg = token_network('LeViTClsHead')
    cfg['head']['distillation'] = False
    model = distil(architecture=cfg).train()
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    for key, loss in model(**data, mode='loss').items():
        assert torch.isfinite(loss).all(), key


@pytest.mark.parametrize('kind', HEADS)
@pytest.mark.parametrize('loss', ['nothing', 'features', 'named'])
def test_labels_teach_the_mean_if_no_loss_teaches_the_other(kind, loss, batch):
    cfg = dckd()
    if loss == 'nothing':
        cfg['collective_losses']['loss_d'].update(alpha=0.0, beta=0.0)
    elif loss == 'features':
        recorders = dict(features=dict(type='ModuleOutputs', source='head'))
        cfg = dict(
            cfg,
            collective_losses=dict(loss_map=dict(type='mmdckd.RelationMapLoss')),
            student_recorders=recorders,
            teacher_recorders=recorders,
        )
    elif loss == 'named':
        cfg['student_logits'] = dict(type='ModuleOutputs', source='head')
    model = distil(architecture=token_network(kind), distiller=cfg).train()
    losses = model(**model.data_preprocessor(copy.deepcopy(batch), True), mode='loss')
    task = losses['student.student0.loss']
    for classifier in classifiers(model.cohort.students['student0']):
        assert gradients(task, classifier)[0].any()
