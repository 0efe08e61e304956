# Copyright (c) mmdckd contributors. All rights reserved.
"""Labels of every kind with every collective term, on real digits."""

import copy

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample

from helpers.networks import digits, distil, multi_label, shallow
from mmdckd.models.tasks import Classification

FREE = ('mean', 'max', 'logit_mean')
LABELED = ('min_logit', 'naive', 'linear', 'confidence', 'cross_entropy')
AUGMENTS = dict(
    mixup=dict(type='Mixup', alpha=1.0),
    cutmix=dict(type='CutMix', alpha=1.0),
    resize_mix=dict(type='ResizeMix', alpha=1.0),
)


def cohort(student=None, teachers=None, **dckd):
    losses = dict(loss_dckd=dict(type='mmdckd.DCKDLoss', **dckd))
    return distil(
        3,
        architecture=student or shallow(),
        teacher=teachers or [shallow(), shallow(width=8)],
        distiller=dict(type='mmdckd.CollectiveDistiller', collective_losses=losses),
    )


def losses_of(model, batch):
    data = model.train().data_preprocessor(copy.deepcopy(batch), True)
    return data, model(**data, mode='loss')


def check(losses):
    names = [key for key in losses if 'loss_dckd' in key]
    assert len(names) == 9
    assert all(torch.isfinite(value) for value in losses.values())
    sum(v for k, v in losses.items() if 'loss' in k).backward()


@pytest.mark.parametrize('collector', [*FREE, *LABELED])
@pytest.mark.parametrize('correlation', ['all', 'non_target'])
@pytest.mark.parametrize('augment', AUGMENTS)
def test_batch_augments(collector, correlation, augment, batch):
    model = cohort(
        shallow(train_cfg=dict(augments=AUGMENTS[augment])),
        collector=collector,
        teacher_collector=collector,
        correlation=correlation,
    )
    np.random.seed(5)
    data, losses = losses_of(model, batch)
    scores = Classification.gather_labels(data['data_samples'], 10)
    assert ((0 < scores) & (scores < 1)).any()
    check(losses)


@pytest.mark.parametrize('collector', [*FREE, *LABELED])
def test_label_smoothing_is_the_heads_alone(collector, batch):
    """The terms see the labels as they are."""
    options = dict(collector=collector, correlation='non_target')
    smooth = shallow()
    smooth['head']['loss'] = dict(type='LabelSmoothLoss', label_smooth_val=0.1)
    (_, plain), (_, smoothed) = (
        losses_of(cohort(student, **options), batch) for student in (None, smooth)
    )
    for name, value in plain.items():
        assert torch.equal(value, smoothed[name]) == (
            not name.startswith('student.')
        ), name
    check(smoothed)


@pytest.mark.parametrize('collector', [*FREE, *LABELED])
def test_soft_targets_of_a_dataset(collector, batch):
    for sample in batch['data_samples']:
        score = torch.full((10,), 0.02)
        score[int(sample.gt_label)] += 0.8
        sample.set_gt_score(score)
    check(losses_of(cohort(collector=collector, correlation='non_target'), batch)[1])


def several_labels(as_scores):
    batch = digits()
    for i, sample in enumerate(batch['data_samples']):
        label = [int(sample.gt_label)]
        if i % 2:
            label.append((label[0] + 1) % 10)
        batch['data_samples'][i] = sample = DataSample().set_gt_label(label)
        if as_scores:
            sample.set_gt_score(
                torch.zeros(10).index_fill_(0, torch.tensor(label), 1.0)
            )
    return batch


@pytest.mark.parametrize('as_scores', [False, True])
@pytest.mark.parametrize('collector', FREE)
def test_several_labels_where_no_term_looks(collector, as_scores):
    model = cohort(multi_label(), [multi_label(34)], collector=collector)
    check(losses_of(model, several_labels(as_scores))[1])


@pytest.mark.parametrize(
    'cfg, term',
    [
        (dict(correlation='non_target'), '`correlation`'),
        *((dict(collector=name), '`collector`') for name in LABELED),
        *((dict(teacher_collector=name), '`teacher_collector`') for name in LABELED),
    ],
)
def test_several_labels_where_a_term_looks(cfg, term):
    """Refused where the heads are multi-label, and by the labels where the
    heads are not."""
    with pytest.raises(ValueError, match=f"{term}.* the task 'multi_"):
        cohort(multi_label(), [multi_label(34)], **cfg)
    with pytest.raises(ValueError, match=f'^Invalid `gt_labels` for {term}: '):
        losses_of(cohort(**cfg), several_labels(True))


def test_labels_that_only_add_up_are_no_labels():
    """Two labels and none are not one each."""
    samples = [
        DataSample().set_gt_label([3, 4]),
        DataSample().set_gt_label(torch.zeros(0, dtype=torch.long)),
    ]
    labels = Classification.gather_labels(samples, 5)
    assert labels.tolist() == [[0, 0, 0, 1, 1], [0] * 5]


def test_an_image_without_a_label_beside_one_with_several():
    samples = [
        DataSample().set_gt_label([3, 4]),
        DataSample(metainfo=dict(unlabeled=True)),
        DataSample().set_gt_label(0),
    ]
    labels = Classification.gather_labels(samples, 5)
    assert labels.tolist() == [[0, 0, 0, 1, 1], [0] * 5, [1, 0, 0, 0, 0]]
