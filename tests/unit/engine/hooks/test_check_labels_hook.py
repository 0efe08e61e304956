# Copyright (c) mmdckd contributors. All rights reserved.
from types import SimpleNamespace

import pytest
from mmengine.dataset import ConcatDataset, RepeatDataset
from mmpretrain.datasets import BaseDataset

from helpers.networks import distil, network
from mmdckd.datasets import Digits
from mmdckd.engine.hooks import CheckLabelsHook


class Relabeled(Digits):
    """Digits, one of which has a label that it should not have."""

    def __init__(self, index, label, **kwargs):
        self.wrong = (index, label)
        super().__init__(**kwargs)

    def load_data_list(self):
        data_list = super().load_data_list()
        index, label = self.wrong
        data_list[index]['gt_label'] = label
        return data_list


class WithoutLabels(Digits):
    def load_data_list(self):
        data_list = super().load_data_list()
        for item in data_list:
            del item['gt_label']
        return data_list


class Empty(Digits):
    def __len__(self):
        return 0


def check(train, val=None, model=None, **kwargs):

    def loop(dataset):
        return (
            None
            if dataset is None
            else SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
        )

    CheckLabelsHook(**kwargs).before_train(
        SimpleNamespace(
            cfg={}, model=model or distil(), train_loop=loop(train), val_loop=loop(val)
        )
    )


def test_labels_in_range_pass():
    digits = Digits(split='train', pipeline=[])
    check(digits, Digits(split='val', pipeline=[]))
    check(RepeatDataset(digits, 2), ConcatDataset([digits, digits]))


@pytest.mark.parametrize('label', [-1, 10])
def test_a_label_out_of_range_is_named_with_its_sample(label):
    wrong = Relabeled(7, label, split='val', pipeline=[])
    message = (
        'Invalid `val_dataloader.dataset`: .* `head.num_classes` is 10, got '
        f'{label} for sample 7'
    )
    with pytest.raises(ValueError, match=message):
        check(Digits(split='train', pipeline=[]), wrong)


def test_labels_inside_wrappers_are_looked_at():
    good = Digits(split='train', pipeline=[])
    wrong = Relabeled(3, 12, split='train', pipeline=[])
    for dataset in (ConcatDataset([good, wrong]), RepeatDataset(wrong, 2)):
        with pytest.raises(ValueError, match='`train_data.*got 12'):
            check(dataset)


def test_images_without_labels_are_those_of_a_training_that_needs_none():
    train = WithoutLabels(split='train', pipeline=[])
    with pytest.raises(ValueError, match='`train_dat.* sample 0.* mmdckd.Unlabeled or'):
        check(train)
    model = distil(calculate_student_loss=False)
    check(train, Digits(split='val', pipeline=[]), model)
    with pytest.raises(ValueError, match='`val_dat.*images with labels, got none for'):
        check(train, WithoutLabels(split='val', pipeline=[]), model)


def test_an_empty_split_is_refused():
    with pytest.raises(
        ValueError, match='`train_dataloader.dataset`: expected images, got none'
    ):
        check(Empty(split='train', pipeline=[]))


def test_a_network_without_a_cohort_is_checked_as_well():
    with pytest.raises(ValueError, match='got 12 for sample'):
        check(
            Relabeled(3, 12, split='train', pipeline=[]),
            model=distil().cohort.students['student0'],
        )


class Without(Digits):
    """Digits without those of some classes."""

    def __init__(self, classes, **kwargs):
        self.without = classes
        super().__init__(**kwargs)

    def load_data_list(self):
        return [
            data
            for data in super().load_data_list()
            if data['gt_label'] not in self.without
        ]


def test_a_class_without_images_is_named():
    train = Digits(split='train', pipeline=[])
    part = Without([3, 7], split='val', pipeline=[])
    message = (
        r'Invalid `val_dataloader.dataset`: .* got none of 2 of the 10 classes '
        r'.*: 3 \(3\), 7 \(7\)\. .*check_labels.allow_missing=True'
    )
    with pytest.raises(ValueError, match=message):
        check(train, part)
    check(train, part, allow_missing=True)
    # Two parts together may have all.
    other = Without([0, 1, 2], split='val', pipeline=[])
    check(train, ConcatDataset([part, other]))
    eleven = distil(
        architecture=network(num_classes=11), teacher=network(num_classes=11)
    )
    with pytest.raises(ValueError, match=r'1 of the 11 classes .*: 10\. '):
        check(train, model=eleven)


class Several(BaseDataset):
    """Images with none, one or two labels."""

    labels = [[], [0], [1, 9], list(range(2, 9))]

    def load_data_list(self):
        return [dict(gt_label=labels) for labels in self.labels]

    def get_cat_ids(self, idx):
        return self.get_data_info(idx)['gt_label']


def test_several_labels_an_image():
    check(Several(ann_file='', pipeline=[]))
    wrong = Several(ann_file='', pipeline=[], lazy_init=True)
    wrong.labels = [[1, 10]]
    wrong.full_init()
    with pytest.raises(ValueError, match='got 10 for sample 0'):
        check(wrong)


def test_several_labels_that_a_dataset_cannot_list():
    several = Relabeled(3, [1, 2], split='train', pipeline=[])
    with pytest.raises(ValueError, match='`train_data.*`get_cat_ids`.*for sample 3'):
        check(several)


def test_what_is_tested_on_may_be_a_part():

    def check_test(dataset):
        CheckLabelsHook().before_test(
            SimpleNamespace(
                model=distil(),
                test_loop=SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset)),
            )
        )

    check_test(Without([3], split='test', pipeline=[]))
    with pytest.raises(ValueError, match='`test_dataloader.*got 10 for sample'):
        check_test(Relabeled(7, 10, split='test', pipeline=[]))
    with pytest.raises(ValueError, match='`test_dataloader.*expected images, got none'):
        check_test(Empty(split='test', pipeline=[]))
