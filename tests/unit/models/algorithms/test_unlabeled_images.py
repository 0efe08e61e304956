# Copyright (c) mmdckd contributors. All rights reserved.
"""The task loss is of images with labels, what others teach of all."""

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper

from helpers.networks import (
    PREPROCESSOR,
    digits,
    multi_label,
    network,
    shallow,
    shallow_distil,
)
from mmdckd.models.tasks.labels import is_unlabeled, remove_labels

ROWS = [1, 2, 5, 8, 9, 15]
REST = [i for i in range(16) if i not in ROWS]
ALONE = dict(type='mmdckd.CollectiveDistiller')


def batch_of(without=REST, count=16):
    batch = digits(count)
    for i in without:
        remove_labels(batch['data_samples'][i])
    return batch


def losses_of(model, batch=None, **kwargs):
    data = model.train().data_preprocessor(batch or batch_of(**kwargs), True)
    return model(**data, mode='loss')


def step(model, batch):
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=0.01
    )
    return model.train().train_step(batch, OptimWrapper(optimizer))


def with_head(**head):
    cfg = shallow()
    cfg['head'].update(head)
    return cfg


def gradients(model, value):
    student = model.cohort.students['student0']
    names, parameters = zip(*student.named_parameters())
    found = torch.autograd.grad(value, parameters, allow_unused=True)
    return dict(zip(names, found))


@pytest.mark.parametrize('memory', [None, 'checkpoint'])
@pytest.mark.parametrize(
    'head, loss',
    [
        ({}, F.cross_entropy),
        (
            dict(
                loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
            ),
            lambda z, y: F.cross_entropy(z, y, label_smoothing=0.1),
        ),
    ],
)
def test_the_gradient_is_that_of_the_labeled_rows_alone(head, loss, memory):
    options = dict(architecture=with_head(**head), memory=memory)
    found_model = shallow_distil(**options)
    name = 'student.student0.loss'
    found = losses_of(found_model)[name]

    model = shallow_distil(**options)
    data = model.train().data_preprocessor(digits(), True)
    student = model.cohort.students['student0']
    logits = student(data['inputs'], mode='tensor')
    labels = torch.cat([s.gt_label for s in data['data_samples']])
    expected = loss(logits[ROWS], labels[ROWS])
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    of_expected = gradients(model, expected)
    for key, gradient in gradients(found_model, found).items():
        torch.testing.assert_close(gradient, of_expected[key], rtol=1e-4, atol=1e-6)


def test_teacher_and_peers_teach_all_images():
    expected = losses_of(shallow_distil(), digits())
    found = losses_of(shallow_distil())
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        if key.startswith('collective.'):
            torch.testing.assert_close(found[key], value, rtol=0, atol=0)
        else:
            assert found[key] != value


def test_a_batch_without_labels_has_no_task_loss():
    expected = losses_of(shallow_distil(calculate_student_loss=False), digits())
    found = losses_of(shallow_distil(), without=range(16))
    assert found.keys() == expected.keys()
    assert not any(key.startswith('student.') for key in found)
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=0)


def test_a_step_trains_all_students_on_a_batch_without_labels():
    model = shallow_distil()
    parts = {
        f'{name}.{part}': student.get_parameter(part)
        for name, student in model.cohort.items()
        for part in ('backbone.conv1.weight', 'head.fc.weight')
    }
    before = {key: value.clone() for key, value in parts.items()}
    log = step(model, batch_of(range(16)))
    assert log['loss'].isfinite()
    assert not any(torch.equal(value, before[key]) for key, value in parts.items())


def test_after_the_step_samples_are_as_they_were():
    batch = batch_of()
    data = shallow_distil().train().data_preprocessor(batch, True)
    for i, sample in enumerate(data['data_samples']):
        assert ('gt_label' in sample) == (i in ROWS) != is_unlabeled(sample)


def test_soft_labels():
    options = dict(
        data_preprocessor=dict(PREPROCESSOR, to_onehot=True),
        architecture=with_head(loss=dict(type='CrossEntropyLoss', use_soft=True)),
    )
    found = losses_of(shallow_distil(**options))
    expected = losses_of(shallow_distil())
    for name in ('student0', 'student1'):
        key = f'student.{name}.loss'
        torch.testing.assert_close(found[key], expected[key], rtol=1e-5, atol=0)


def test_several_labels():
    model = shallow_distil(architecture=multi_label(), teacher=multi_label(34))
    found = losses_of(model)
    reference = shallow_distil(architecture=multi_label(), teacher=multi_label(34))
    data = reference.train().data_preprocessor(digits(), True)
    logits = reference.cohort.students['student0'](data['inputs'], mode='tensor')
    labels = torch.stack(
        [F.one_hot(s.gt_label, 10).sum(0) for s in data['data_samples']]
    )
    expected = reference.cohort.students['student0'].head.loss_module(
        logits[ROWS], labels[ROWS], avg_factor=len(ROWS)
    )
    torch.testing.assert_close(found['student.student0.loss'], expected)


def test_the_accuracy_is_of_labeled_images():
    found = losses_of(shallow_distil(architecture=with_head(cal_acc=True, topk=(1,))))
    (accuracy,) = found['student.student0.accuracy_top-1']
    right = float(accuracy) / 100 * len(ROWS)
    assert right == pytest.approx(round(right), abs=1e-4)


def test_views_of_their_own():
    batch = batch_of()
    batch['inputs'] = [batch['inputs'], batch['inputs'].flip(-1)]
    found = losses_of(shallow_distil(views='independent'), batch)
    assert found['student.student1.loss'] > 0
    torch.testing.assert_close(
        found['student.student0.loss'],
        losses_of(shallow_distil())['student.student0.loss'],
    )


def test_a_trained_teacher_learns_from_labeled_images():
    found = losses_of(shallow_distil(teacher_trainable=True))
    every = losses_of(shallow_distil(teacher_trainable=True), digits())
    assert found['teacher.loss'] > 0 and found['teacher.loss'] != every['teacher.loss']
    none = losses_of(shallow_distil(teacher_trainable=True), without=range(16))
    assert 'teacher.loss' not in none


def test_a_cohort_that_is_not_taught():
    model = shallow_distil(num_students=1, teacher=None, distiller=ALONE)
    assert losses_of(model).keys() == {'student.student0.loss'}
    with pytest.raises(ValueError, match='the only one of this step, needs labels'):
        losses_of(model, without=range(16))


def test_stopped_distillation():
    model = shallow_distil()
    model.distillation_stopped = True
    assert losses_of(model).keys() == {'student.student0.loss', 'student.student1.loss'}
    with pytest.raises(ValueError, match='the only one of this step'):
        losses_of(model, without=range(16))


def test_labels_that_are_missing_by_mistake():
    batch = batch_of()
    delattr(batch['data_samples'][REST[0]], 'unlabeled')
    with pytest.raises(ValueError, match='1 of 16 samples have none'):
        losses_of(shallow_distil(), batch)


def test_mixed_images_are_refused():
    options = dict(
        PREPROCESSOR, batch_augments=dict(augments=[dict(type='Mixup', alpha=1.0)])
    )
    with pytest.raises(ValueError, match='Invalid `train_cfg.augments`: expected None'):
        losses_of(shallow_distil(data_preprocessor=options))


def test_a_head_with_a_loss_of_its_own_is_refused():
    cfg = network()
    cfg['head'] = dict(type='ArcFaceClsHead', num_classes=10, in_channels=32)
    with pytest.raises(ValueError, match='Invalid `head`: .*got a ArcFaceClsHead'):
        losses_of(shallow_distil(architecture=cfg))


@pytest.mark.parametrize(
    'loss, term',
    [
        (dict(type='mmdckd.DCKDLoss', collector='min_logit'), '`collector`'),
        (dict(type='mmdckd.DCKDLoss', collector='naive'), '`collector`'),
        (dict(type='mmdckd.DCKDLoss', collector='cross_entropy'), '`collector`'),
        (dict(type='mmdckd.DCKDLoss', correlation='non_target'), '`correlation`'),
        (dict(type='mmdckd.CohortDKDLoss'), 'CohortDKDLoss'),
        (dict(type='mmdckd.WKDLoss'), 'WKDLoss'),
        (
            dict(type='mmdckd.GatedEnsembleLoss', num_students=2, num_classes=10),
            'GatedEnsembleLoss',
        ),
    ],
)
@pytest.mark.parametrize('without', [REST, range(16)])
def test_what_looks_at_labels_is_named(loss, term, without):
    distiller = dict(ALONE, collective_losses=dict(loss_a=loss))
    with pytest.raises(
        ValueError,
        match=f'{term} of `distiller.collective_losses.loss_a` needs labels.*'
        f'but {len(without)} of 16 samples have none',
    ):
        losses_of(shallow_distil(distiller=distiller), without=without)


@pytest.mark.parametrize('without', [REST, range(16)])
def test_a_loss_of_mmrazor_that_looks_at_labels_is_named(without):
    logits = dict(type='ModuleOutputs', source='head.fc')
    student = dict(recorder='logits', from_student=True)
    teacher = dict(recorder='logits', from_student=False)
    labels = dict(recorder='labels', from_student=True, data_idx=1)
    distiller = dict(
        ALONE,
        student_recorders=dict(
            logits=logits, labels=dict(type='ModuleInputs', source='head.loss_module')
        ),
        teacher_recorders=dict(logits=logits),
        distill_losses=dict(
            loss_kl=dict(type='KLDivergence'), loss_dkd=dict(type='DKDLoss')
        ),
        loss_forward_mappings=dict(
            loss_kl=dict(preds_S=student, preds_T=teacher),
            loss_dkd=dict(preds_S=student, preds_T=teacher, gt_labels=labels),
        ),
    )
    with pytest.raises(
        ValueError, match="`distiller.distill_losses.loss_dkd`.*its recorder 'labels'"
    ):
        losses_of(shallow_distil(distiller=distiller), without=without)
    for part in ('distill_losses', 'loss_forward_mappings'):
        distiller[part].pop('loss_dkd')
    every = losses_of(shallow_distil(distiller=distiller), digits())
    found = losses_of(shallow_distil(distiller=distiller), without=without)
    key = 'distill.student0.loss_kl'
    torch.testing.assert_close(found[key], every[key], rtol=0, atol=0)
