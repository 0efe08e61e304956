from types import SimpleNamespace

import pytest
from mmengine.dataset import ConcatDataset, RepeatDataset
from tiny import distil, network

from mmdckd.datasets import Digits
from mmdckd.engine.hooks import CheckLabelsHook


class Relabelled(Digits):
    """Digits, one of which has a label that it should not have."""

    def __init__(self, index, label, **kwargs):
        self.wrong = (index, label)
        super().__init__(**kwargs)

    def load_data_list(self):
        data_list = super().load_data_list()
        index, label = self.wrong
        data_list[index]['gt_label'] = label
        return data_list


class Empty(Digits):

    def __len__(self):
        return 0


def check(train, val=None, model=None):
    def loop(dataset):
        return None if dataset is None else SimpleNamespace(
            dataloader=SimpleNamespace(dataset=dataset))

    CheckLabelsHook().before_train(
        SimpleNamespace(
            model=model or distil(),
            train_loop=loop(train),
            val_loop=loop(val)))


def test_labels_in_range_pass():
    digits = Digits(split='train', pipeline=[])
    check(digits, Digits(split='val', pipeline=[]))
    check(RepeatDataset(digits, 2), ConcatDataset([digits, digits]))
    check(digits, model=distil(architecture=network(num_classes=11),
                               teacher=network(num_classes=11)))


@pytest.mark.parametrize('label', [-1, 10])
def test_a_label_out_of_range_is_named_with_its_sample(label):
    wrong = Relabelled(7, label, split='val', pipeline=[])
    message = (f'`val_dataloader.dataset` gives sample 7.* the label {label},'
               ' but the `head.num_classes` of the model is 10')
    with pytest.raises(ValueError, match=message):
        check(Digits(split='train', pipeline=[]), wrong)


def test_labels_inside_wrappers_are_looked_at():
    good = Digits(split='train', pipeline=[])
    wrong = Relabelled(3, 12, split='train', pipeline=[])
    for dataset in (ConcatDataset([good, wrong]), RepeatDataset(wrong, 2)):
        with pytest.raises(ValueError, match='`train_data.*label 12'):
            check(dataset)


def test_an_empty_split_is_refused():
    with pytest.raises(ValueError, match='`train_dataloader.dataset` is empty'):
        check(Empty(split='train', pipeline=[]))


def test_a_network_without_a_cohort_is_checked_as_well():
    with pytest.raises(ValueError, match='the label 12'):
        check(
            Relabelled(3, 12, split='train', pipeline=[]),
            model=distil().cohort.students['student0'])
