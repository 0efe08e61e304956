# Copyright (c) mmdckd contributors. All rights reserved.
import json

import numpy as np
import pytest

from mmdckd.datasets import Digits, WithoutFold, WrongLabels

DIGITS = dict(type='mmdckd.Digits')


def labels_of(dataset):
    return dataset.get_gt_labels()


def test_the_share_of_wrong_labels_is_as_asked():
    true = labels_of(Digits())
    given = labels_of(WrongLabels(DIGITS, share=0.4))
    wrong = given != true
    # Five standard deviations of a binomial distribution.
    assert abs(wrong.mean() - 0.4) < 5 * np.sqrt(0.24 / len(true))
    # About five images for each of the 90 pairs of a true and a wrong label.
    assert len(set(zip(true[wrong], given[wrong]))) > 80


@pytest.mark.parametrize('share, kept', [(0, True), (0.0, True), (1, False)])
def test_the_ends_of_the_share(share, kept):
    same = labels_of(WrongLabels(DIGITS, share=share)) == labels_of(Digits())
    assert same.all() if kept else not same.any()


def test_a_wrong_label_depends_on_the_image_and_the_seed_alone():
    whole = WrongLabels(DIGITS, share=0.5)
    part = WrongLabels(dict(DIGITS, indices=100), share=0.5)
    assert (labels_of(part) == labels_of(whole)[:100]).all()
    assert (labels_of(whole) == labels_of(WrongLabels(DIGITS, share=0.5))).all()
    other = WrongLabels(DIGITS, share=0.5, seed=1)
    assert (labels_of(whole) != labels_of(other)).any()
    # A larger share keeps the wrong labels of a smaller one.
    fewer = labels_of(WrongLabels(DIGITS, share=0.2))
    wrong = fewer != labels_of(Digits())
    assert (fewer[wrong] == labels_of(whole)[wrong]).all()


def test_wrong_labels_are_those_of_the_first_release():
    """Published results are of these labels."""
    noisy = labels_of(WrongLabels(dict(DIGITS, indices=20), share=0.4))
    true = labels_of(Digits(indices=20))
    assert np.flatnonzero(noisy != true).tolist() == [0, 4, 6, 10, 13, 14, 19]
    assert noisy[noisy != true].tolist() == [5, 9, 9, 2, 9, 2, 1]


def test_confused_classes():
    true = labels_of(Digits())
    noisy = WrongLabels(DIGITS, share=0.5, confused={'1': '7', '7': '1'})
    wrong = labels_of(noisy) != true
    assert set(true[wrong]) == {1, 7}
    assert (labels_of(noisy)[wrong] == 8 - true[wrong]).all()
    assert 0.3 < wrong[np.isin(true, (1, 7))].mean() < 0.7


def test_it_is_a_dataset_like_any_other():
    noisy = WrongLabels(
        dict(DIGITS, pipeline=[dict(type='Missing')]),
        share=0.5,
        pipeline=[dict(type='PackInputs')],
    )
    sample = noisy[3]
    assert int(sample['data_samples'].gt_label) == noisy.get_cat_ids(3)[0]
    assert noisy.CLASSES == Digits().CLASSES
    # Folds are stratified by the labels that are given.
    blind = WithoutFold(noisy, num_folds=2, fold=0)
    assert 0 < len(blind) < len(noisy)


@pytest.mark.parametrize('share', [-0.1, 1.5, True, float('nan'), '0.5'])
def test_a_share_that_is_no_probability(share):
    with pytest.raises(ValueError, match='Invalid `share`'):
        WrongLabels(DIGITS, share=share)


@pytest.mark.parametrize(
    'confused', [{'1': '1'}, {'1': 'seven'}, {'x': '1'}, ['1', '7']]
)
def test_classes_that_cannot_be_confused(confused):
    with pytest.raises(ValueError, match='Invalid `confused`'):
        WrongLabels(DIGITS, share=0.5, confused=confused)


def test_images_with_several_labels(tmp_path):
    annotations = dict(
        metainfo=dict(classes=['a', 'b']),
        data_list=[dict(img_path='0.jpg', gt_label=[0, 1])],
    )
    path = tmp_path / 'labels.json'
    path.write_text(json.dumps(annotations))
    several = dict(type='MultiLabelDataset', ann_file=str(path))
    with pytest.raises(ValueError, match=r'expected one label an image, got \[0, 1\]'):
        WrongLabels(several, share=0.5)


@pytest.mark.parametrize(
    'classes, label, message',
    [
        (None, 0, 'the names of its classes, got None'),
        (['a', 'b'], None, 'one label an image, got None'),
        (['a', 'b'], 2, 'labels from 0 to 1, got 2'),
        (['a', 'b'], -1, 'labels from 0 to 1, got -1'),
    ],
)
def test_datasets_whose_labels_are_unknown(classes, label, message, tmp_path):
    image = dict(img_path='0.jpg', **({} if label is None else dict(gt_label=label)))
    metainfo = {} if classes is None else dict(classes=classes)
    path = tmp_path / 'labels.json'
    path.write_text(json.dumps(dict(metainfo=metainfo, data_list=[image])))
    with pytest.raises(ValueError, match=f'Invalid `dataset`: .*{message}'):
        WrongLabels(dict(type='BaseDataset', ann_file=str(path)), share=0.5)
