# Copyright (c) mmdckd contributors. All rights reserved.
"""Batches without labels train on what needs none; else a term is named."""

import pytest
import torch
from mmengine.optim import OptimWrapper
from mmpretrain.structures import DataSample

from helpers.networks import dckd, digits, multi_label, network, shallow_distil


def unlabeled(which=range(16), count=16):
    batch = digits(count)
    for i in which:
        batch['data_samples'][i] = DataSample(metainfo=dict(img_path=f'image{i}.png'))
    return batch


def step(model, batch):
    optimizer = torch.optim.SGD(
        [p for p in model.parameters() if p.requires_grad], lr=0.01
    )
    return model.train().train_step(batch, OptimWrapper(optimizer))


@pytest.mark.parametrize('collector', ['mean', 'max', 'logit_mean'])
def test_what_needs_no_label_trains_and_is_what_it_is_with_labels(collector):
    options = dict(calculate_student_loss=False, distiller=dckd(collector=collector))
    with_labels = step(shallow_distil(**options), digits())
    without = step(shallow_distil(**options), unlabeled())
    assert with_labels.keys() == without.keys()
    assert without['collective.student0.loss_dckd.teacher'] > 0
    for key, value in with_labels.items():
        torch.testing.assert_close(without[key], value, rtol=0, atol=0)


def test_several_labels_too():
    model = shallow_distil(
        architecture=multi_label(),
        teacher=multi_label(34),
        calculate_student_loss=False,
    )
    assert step(model, unlabeled())['collective.student0.loss_dckd.teacher'] > 0


def test_no_data_samples_at_all():
    model = shallow_distil(calculate_student_loss=False)
    batch = digits()
    data = model.train().data_preprocessor(dict(inputs=batch['inputs']), True)
    losses = model(**data, mode='loss')
    assert losses['collective.student1.loss_dckd.collective'] >= 0


@pytest.mark.parametrize('which, count', [(range(16), 16), ([3, 5], 2), ([0], 1)])
def test_the_task_loss_is_named(which, count):
    """By the first sample MMPretrain takes all to have labels, or none."""
    with pytest.raises(ValueError) as error:
        step(shallow_distil(), unlabeled(which))
    message = str(error.value)
    assert 'Invalid batch: the task loss of the students needs' in message
    assert 'model.calculate_student_loss=False' in message
    assert f'{len(which)} of 16 samples have none' in message


@pytest.mark.parametrize('which', [[5], [0, 5], [15]])
def test_the_images_without_a_label_are_named_and_no_others(which):
    with pytest.raises(ValueError) as error:
        step(shallow_distil(), unlabeled(which))
    expected = f'{len(which)} of 16 samples have none, the first is image{which[0]}.png'
    assert expected in str(error.value)


def test_a_batch_of_which_some_have_labels_counts_as_one_without():
    options = dict(calculate_student_loss=False)
    found = step(shallow_distil(**options), unlabeled([3, 5]))
    expected = step(shallow_distil(**options), unlabeled())
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=0, atol=0)


@pytest.mark.parametrize(
    'cfg, term',
    [
        (dict(collector='min_logit'), '`collector` of'),
        (dict(teacher_collector='naive'), '`teacher_collector` of'),
        (
            dict(correlation='non_target', collector='linear'),
            '`collector` and `correlation` of',
        ),
    ],
)
def test_terms_of_dckd_are_named(cfg, term):
    model = shallow_distil(
        calculate_student_loss=False,
        teacher=[network(34), network(34)],
        distiller=dckd(**cfg),
    )
    with pytest.raises(
        ValueError, match=f'{term} `distiller.collective_losses.loss_dckd` needs'
    ):
        step(model, unlabeled())


@pytest.mark.parametrize(
    'cfg',
    [
        dict(type='mmdckd.GatedEnsembleLoss', num_students=2, num_classes=10),
        dict(type='mmdckd.CohortDKDLoss'),
        dict(type='mmdckd.WKDLoss'),
    ],
)
def test_losses_that_need_labels_are_named(cfg):
    distiller = dict(
        type='mmdckd.CollectiveDistiller', collective_losses=dict(loss_a=cfg)
    )
    model = shallow_distil(calculate_student_loss=False, distiller=distiller)
    name = cfg['type'].split('.')[1]
    with pytest.raises(
        ValueError, match=f'{name} of `distiller.collective_losses.loss_a` needs'
    ):
        step(model, unlabeled())


def test_a_trained_teacher_is_named():
    model = shallow_distil(calculate_student_loss=False, teacher_trainable=True)
    with pytest.raises(ValueError, match='the task loss of the teacher needs'):
        step(model, unlabeled())


def test_a_loss_of_mmrazor_that_records_labels_is_named():
    logits = dict(type='ModuleOutputs', source='head.fc')
    distiller = dict(
        type='mmdckd.CollectiveDistiller',
        student_recorders=dict(
            logits=logits, labels=dict(type='ModuleInputs', source='head.loss_module')
        ),
        teacher_recorders=dict(logits=logits),
        distill_losses=dict(
            loss_dkd=dict(type='DKDLoss'), loss_kl=dict(type='KLDivergence')
        ),
        loss_forward_mappings=dict(
            loss_dkd=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='logits', from_student=False),
                gt_labels=dict(recorder='labels', from_student=True, data_idx=1),
            ),
            loss_kl=dict(
                preds_S=dict(recorder='logits', from_student=True),
                preds_T=dict(recorder='logits', from_student=False),
            ),
        ),
    )
    model = shallow_distil(calculate_student_loss=False, distiller=distiller)
    step(model, digits())
    with pytest.raises(
        ValueError, match="`distiller.distill_losses.loss_dkd`.*its recorder 'labels'"
    ):
        step(model, unlabeled())
    for part in ('distill_losses', 'loss_forward_mappings'):
        distiller[part].pop('loss_dkd')
    model = shallow_distil(calculate_student_loss=False, distiller=distiller)
    assert step(model, unlabeled())['distill.student0.loss_kl'] > 0
