# Copyright (c) mmdckd contributors. All rights reserved.
"""All heads of MMPretrain: their clean scores, or a refusal."""

import os.path as osp
import re

import pytest
import torch
from mmpretrain.models import heads
from mmpretrain.registry import MODELS

from helpers.networks import digits, distil, network
from helpers.paths import ROOT
from mmdckd.models.distillers.recorders import LogitsRecorder
from mmdckd.models.tasks import Knowledge, knowledge_of

C, D = 5, 6

#: Every head that classifies: its config, and features of B images.
CLASSIFIERS = dict(
    ClsHead=(dict(), lambda b: (torch.randn(b, C),)),
    LinearClsHead=(dict(num_classes=C, in_channels=D), lambda b: (torch.randn(b, D),)),
    StackedLinearClsHead=(
        dict(num_classes=C, in_channels=D, mid_channels=[7]),
        lambda b: (torch.randn(b, D),),
    ),
    MultiLabelClsHead=(dict(), lambda b: (torch.randn(b, C),)),
    MultiLabelLinearClsHead=(
        dict(num_classes=C, in_channels=D),
        lambda b: (torch.randn(b, D),),
    ),
    VisionTransformerClsHead=(
        dict(num_classes=C, in_channels=D, hidden_dim=7),
        lambda b: ([torch.randn(b, 3), torch.randn(b, D)],),
    ),
    DeiTClsHead=(
        dict(num_classes=C, in_channels=D),
        lambda b: ([torch.randn(b, D), torch.randn(b, D)],),
    ),
    ConformerHead=(
        dict(num_classes=C, in_channels=[D, 4]),
        lambda b: ([torch.randn(b, D), torch.randn(b, 4)],),
    ),
    EfficientFormerClsHead=(
        dict(num_classes=C, in_channels=D, distillation=False),
        lambda b: (torch.randn(b, D),),
    ),
    ArcFaceClsHead=(
        dict(num_classes=C, in_channels=D, num_subcenters=2),
        lambda b: (torch.randn(b, D),),
    ),
    CSRAClsHead=(
        dict(num_classes=C, in_channels=D, num_heads=2, lam=0.1),
        lambda b: (torch.randn(b, D, 3, 3),),
    ),
    LeViTClsHead=(
        dict(num_classes=C, in_channels=D, distillation=False),
        lambda b: (torch.randn(b, D),),
    ),
    VigClsHead=(
        dict(num_classes=C, in_channels=D, hidden_dim=7),
        lambda b: (torch.randn(b, D),),
    ),
)

LOSS = dict(loss=dict(type='CrossEntropyLoss'))
NECK = dict(type='LinearNeck', in_channels=D, out_channels=D)
TOKENS = dict(LOSS, embed_dims=D, num_embed=C)

#: The rest, and their configs: they predict no classes, or several tasks.
OTHERS = dict(
    BEiTV1Head=TOKENS,
    BEiTV2Head=TOKENS,
    CAEHead=LOSS,
    ContrastiveHead=LOSS,
    GroundingHead=dict(decoder=NECK),
    ITCHead=dict(embed_dim=D),
    ITMHead=dict(hidden_size=D),
    LatentCrossCorrelationHead=dict(LOSS, in_channels=D),
    LatentPredictHead=dict(LOSS, predictor=NECK),
    MAEPretrainHead=LOSS,
    MIMHead=LOSS,
    MixMIMPretrainHead=LOSS,
    MoCoV3Head=dict(LOSS, predictor=NECK),
    MultiTaskHead=dict(
        task_heads=dict(color=dict(type='LinearClsHead', num_classes=C, in_channels=D))
    ),
    SeqGenerationHead=dict(decoder=NECK),
    SimMIMHead=dict(LOSS, patch_size=4),
    SparKPretrainHead=LOSS,
    SwAVHead=LOSS,
    VQAGenerationHead=dict(decoder=NECK),
    iTPNClipHead=TOKENS,
)


class Network(torch.nn.Module):
    """A network that is its head; what it is given are the features."""

    def __init__(self, head):
        super().__init__()
        self.head = head

    def forward(self, feats, samples=None, mode='tensor'):
        if mode == 'loss':
            return self.head.loss(feats, samples)
        return self.head(feats)


def build(name, **kwargs):
    torch.manual_seed(0)
    head = MODELS.build(dict(type=name, **dict(CLASSIFIERS[name][0], **kwargs)))
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter)
    return Network(head)


def predicted(net, feats):
    """What it predicts, as log-odds or log-probabilities."""
    scores = torch.stack([s.pred_score for s in net.head.predict(feats, None)])
    multi_label = isinstance(net.head, heads.MultiLabelClsHead)
    return scores.logit() if multi_label else scores.log()


def recorded(net, feats, samples=None, mode='tensor'):
    recorder = LogitsRecorder(net, None, 'distiller.student_logits')
    with recorder:
        net(feats, samples, mode)
    logits = recorder.pop()
    assert logits.shape == (4, C)
    if isinstance(net.head, heads.MultiLabelClsHead):
        return logits
    return logits.log_softmax(-1)


def samples(count):
    return digits(count)['data_samples']


@pytest.mark.parametrize('mode', ['loss', 'tensor'])
@pytest.mark.parametrize('name', CLASSIFIERS)
def test_what_is_recorded_is_what_it_predicts_with(name, mode):
    net = build(name)
    feats = CLASSIFIERS[name][1](4)
    for module in net.modules():  # or BatchNorm predicts otherwise
        if isinstance(module, torch.nn.BatchNorm1d):
            module.momentum = 0.0
            module.eval()
    labels = samples(4)
    for i, sample in enumerate(labels):
        sample.set_gt_label(i % C)
    torch.testing.assert_close(
        recorded(net, feats, labels, mode), predicted(net, feats), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize('name', ['LeViTClsHead', 'EfficientFormerClsHead'])
def test_a_second_classifier_of_a_teacher_counts_half(name):
    net = build(name, distillation=True).eval()
    feats = CLASSIFIERS[name][1](4)
    torch.testing.assert_close(recorded(net, feats), predicted(net, feats))


@pytest.mark.parametrize('name', OTHERS)
def test_heads_that_predict_no_classes_are_refused(name):
    if name == 'GroundingHead':  # it would look for a tokenizer
        head = heads.GroundingHead.__new__(heads.GroundingHead)
        torch.nn.Module.__init__(head)
    else:
        head = MODELS.build(dict(type=name, **OTHERS[name]))
    with pytest.raises(ValueError, match=f'Invalid `head`.*{name}') as error:
        LogitsRecorder(Network(head), None, 'distiller.student_logits')
    if name == 'MultiTaskHead':
        assert "source='head.task_heads.color'" in str(error.value)


def test_every_head_is_in_the_table():
    with open(osp.join(ROOT, 'docs/reference/heads.md'), encoding='utf-8') as file:
        table = re.findall(r'^\| `(\w+)`', file.read(), re.M)
    assert sorted(table) == sorted(heads.__all__)
    assert {*CLASSIFIERS, *OTHERS} == {*table}
    # Any that a later MMPretrain has must be looked at.
    registered = {
        name
        for name, kind in MODELS.module_dict.items()
        if isinstance(kind, type)
        and kind.__module__.startswith('mmpretrain.models.heads')
        and name.endswith('Head')
    }
    assert registered <= set(heads.__all__)


class OwnHead(torch.nn.Module):
    """A head that a user has written."""

    def forward(self, feats, labels=None):
        return feats[-1]


def test_a_head_that_may_look_at_labels_is_refused():
    net = Network(OwnHead())
    with pytest.raises(ValueError, match='forward takes only features, got .*OwnHead'):
        knowledge_of(net, 'distiller.student_logits')
    OwnHead.forward = lambda self, feats: feats[-1]
    assert knowledge_of(net, 'distiller.student_logits') == Knowledge('head')


def test_a_subclass_is_as_its_base():

    class Mine(heads.ArcFaceClsHead):
        pass

    net = Network(Mine(num_classes=C, in_channels=D))
    assert knowledge_of(net, '').source == 'head.norm_product'


def arcface(depth=18):
    cfg = network(depth)
    cfg['head'] = dict(type='ArcFaceClsHead', num_classes=10, in_channels=32, scale=4.0)
    return cfg


def test_a_student_with_its_teachers_weights_has_nothing_to_learn(batch):
    """The margin of the label was in what it was compared by: 1.2081."""
    for source in (None, dict(type='ModuleOutputs', source='head')):
        model = distil(
            2,
            architecture=arcface(),
            teacher=arcface(),
            distiller=dict(
                type='mmdckd.CollectiveDistiller',
                student_logits=source,
                collective_losses=dict(
                    loss_dckd=dict(type='mmdckd.DCKDLoss', beta=0.0)
                ),
            ),
        )
        student = model.cohort.students['student0']
        student.load_state_dict(model.teachers[0].model.state_dict())
        model.train()
        # Both by the statistics of the network, not of the batch.
        for module in student.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.eval()
        losses = model(**model.data_preprocessor(batch, True), mode='loss')
        assert losses['collective.student0.loss_dckd.teacher'] < 1e-6
        assert losses['collective.student1.loss_dckd.teacher'] > 1e-3


def test_a_margin_is_in_no_loss_of_mmrazor():
    recorder = dict(type='ModuleOutputs', source='head')
    distiller = dict(
        type='mmdckd.CollectiveDistiller',
        student_recorders=dict(scores=recorder),
        teacher_recorders=dict(scores=recorder),
        distill_losses=dict(loss_kl=dict(type='KLDivergence')),
        loss_forward_mappings=dict(
            loss_kl=dict(
                preds_S=dict(recorder='scores', from_student=True),
                preds_T=dict(recorder='scores', from_student=False),
            )
        ),
    )
    with pytest.raises(ValueError, match='student_recorders.scores.source`.*norm_prod'):
        distil(architecture=arcface(), teacher=arcface(34), distiller=distiller)


SCORES = dict(scores=dict(type='ModuleOutputs', source='head'))
PRODUCT = dict(scores=dict(type='ModuleOutputs', source='head.norm_product'))


def from_head(teacher_recorders):
    """The losses of a student that reads the scores of its teacher."""
    return dict(
        mmrazor=dict(
            type='mmdckd.CollectiveDistiller',
            student_recorders=SCORES,
            teacher_recorders=teacher_recorders,
            distill_losses=dict(loss_kl=dict(type='KLDivergence')),
            loss_forward_mappings=dict(
                loss_kl=dict(
                    preds_S=dict(recorder='scores', from_student=True),
                    preds_T=dict(recorder='scores', from_student=False),
                )
            ),
        ),
        collective=dict(
            type='mmdckd.CollectiveDistiller',
            student_recorders=SCORES,
            teacher_recorders=teacher_recorders,
            collective_losses=dict(
                loss_map=dict(type='mmdckd.RelationMapLoss', recorder='scores')
            ),
        ),
    )


@pytest.mark.parametrize('kind', ['mmrazor', 'collective'])
def test_a_teacher_in_training_teaches_no_margin(kind):
    """It was 30 off the prediction, at the label. A frozen teacher has none."""
    with pytest.raises(ValueError, match='teacher_recorders.scores.source`.*norm_prod'):
        distil(
            teacher=arcface(34),
            teacher_trainable=True,
            distiller=from_head(SCORES)[kind],
        )
    for trainable, recorders in ((False, SCORES), (True, PRODUCT)):
        assert distil(
            teacher=arcface(34),
            teacher_trainable=trainable,
            distiller=from_head(recorders)[kind],
        )


def test_a_student_that_teaches_itself_teaches_no_margin():
    distiller = from_head(SCORES)['mmrazor']
    distiller.update(
        student_distiller=dict(type='BYOTDistiller'), student_recorders=PRODUCT
    )
    with pytest.raises(ValueError, match='teacher_recorders.scores.source`.*norm_prod'):
        distil(1, architecture=arcface(), teacher=None, distiller=distiller)


def test_a_recorder_of_logits_records_no_margin():
    """Whatever the scope of its type."""
    source = dict(type='mmrazor.ModuleOutputs', source='head')
    for key in ('student_logits', 'teacher_logits'):
        distiller = dict(
            type='mmdckd.CollectiveDistiller',
            collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
        )
        with pytest.raises(ValueError, match=f'{key}.source`.*norm_product'):
            distil(
                architecture=arcface(),
                teacher=arcface(34),
                teacher_trainable=True,
                distiller=dict(distiller, **{key: source}),
            )
