# Copyright (c) mmdckd contributors. All rights reserved.
"""Batches on a device without values stand in for those on a GPU."""

import pytest
import torch

from helpers.networks import digits, distil
from mmdckd.models.algorithms.send_ahead import send_ahead


@pytest.fixture(scope='module')
def preprocessor():
    return distil().data_preprocessor


def devices(data):
    return {
        data['inputs'].device.type,
        *(sample.gt_label.device.type for sample in data['data_samples']),
    }


def test_a_batch_is_sent_to_the_device(preprocessor, monkeypatch):
    monkeypatch.setattr(preprocessor, '_device', torch.device('meta'))
    batch = digits()
    data, training = send_ahead(preprocessor, (batch, True))
    assert devices(data) == {'meta'} and training is True
    assert batch['inputs'].is_cpu
    for sample in data['data_samples']:
        assert sample.gt_label.shape == (1,)


def test_labels_of_all_kinds_are_sent(preprocessor, monkeypatch):
    monkeypatch.setattr(preprocessor, '_device', torch.device('meta'))
    batch = digits(2)
    for number, sample in enumerate(batch['data_samples']):
        sample.set_gt_label(list(range(number)) if number else [0, 1, 2])
        sample.set_gt_score(torch.rand(10))
    batch['inputs'] = list(batch['inputs'])
    (data,) = send_ahead(preprocessor, (batch,))
    one, two = data['data_samples']
    assert one.gt_label.shape == (3,) and two.gt_label.shape == (1,)
    assert one.gt_score.shape == (10,) and one.gt_score.is_meta
    assert all(image.is_meta for image in data['inputs'])


def test_every_tensor_of_a_sample_is_sent(preprocessor, monkeypatch):
    """As the indices that CRDLoss looks up."""
    monkeypatch.setattr(preprocessor, '_device', torch.device('meta'))
    batch = digits(3)
    for number, sample in enumerate(batch['data_samples']):
        sample.set_field(torch.tensor(number), 'sample_idx')
        sample.set_field(torch.ones(2, 3), 'mask')
        sample.set_field('a', 'name')
    (data,) = send_ahead(preprocessor, (batch,))
    for sample in data['data_samples']:
        assert sample.sample_idx.is_meta and sample.sample_idx.shape == ()
        assert sample.mask.is_meta and sample.mask.shape == (2, 3)
        assert sample.name == 'a'


def test_nothing_is_sent_on_the_cpu(preprocessor):
    assert send_ahead(preprocessor, (digits(), True)) is None


def test_every_cohort_sends_ahead():
    for model in (distil(), distil(views='independent')):
        hooks = model.data_preprocessor._forward_pre_hooks.values()
        assert send_ahead in hooks
