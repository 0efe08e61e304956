# Copyright (c) mmdckd contributors. All rights reserved.
import json

import numpy as np
import pytest

from mmdckd.datasets import DatasetPart, Digits
from mmdckd.datasets.stratified_part import stratified_part


def annotated(folder, labels):
    """The config of a dataset with these labels; None for an image without."""
    images = [
        dict(img_path=f'{i}.jpg', **({} if label is None else dict(gt_label=label)))
        for i, label in enumerate(labels)
    ]
    path = folder / 'labels.json'
    path.write_text(json.dumps(dict(metainfo={}, data_list=images)))
    return dict(type='BaseDataset', ann_file=str(path))


def test_parts_have_images_of_every_class_and_share_none(tmp_path):
    images = annotated(tmp_path, [0] * 2 + [1] * 10)
    parts = [DatasetPart(images, part) for part in ('train', 'val')]
    assert [np.bincount(part.get_gt_labels()).tolist() for part in parts] == [
        [1, 8],
        [1, 2],
    ]
    paths = [{each['img_path'] for each in part} for part in parts]
    assert len(paths[0] | paths[1]) == 12 == len(DatasetPart(images))


@pytest.mark.parametrize(
    'labels, message',
    [
        ([[0, 1], [0]], r'expected one label an image, got \[0, 1\]'),
        ([0, None], 'expected one label an image, got None'),
        ([0, 0, 1], "Invalid `part`: .*single sample, got 'train'.* is 1"),
    ],
)
def test_images_that_cannot_be_split(labels, message, tmp_path):
    images = annotated(tmp_path, labels)
    assert len(DatasetPart(images)) == len(labels)
    with pytest.raises(ValueError, match=message):
        DatasetPart(images, 'train')


PIXELS = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)


class Decoded(Digits):
    """A colored image, RGB as those of CIFAR, and a gray one."""

    def load_data_list(self):
        return [dict(img=image, gt_label=0) for image in (PIXELS, PIXELS[..., 0])]


def test_decoded_images_become_those_of_files():
    color, gray = DatasetPart(dict(type=Decoded), rgb=True)
    np.testing.assert_array_equal(color['img'], PIXELS[..., [2, 1, 0]])
    np.testing.assert_array_equal(gray['img'], PIXELS[..., [0, 0, 0]])
    assert color['img_shape'] == gray['ori_shape'] == (2, 3)
    same, _ = DatasetPart(dict(type=Decoded))
    np.testing.assert_array_equal(same['img'], PIXELS)


def test_its_own_class_names_come_first():
    names = tuple('abcdefghij')
    part = DatasetPart(dict(type=Digits), metainfo=dict(classes=names))
    assert part.metainfo['classes'] == names
    assert DatasetPart(dict(type=Digits)).CLASSES == Digits.METAINFO['classes']


def test_the_split_is_that_of_the_first_release():
    # Another one would validate a run that goes on with its training images.
    labels = np.array([0, 1] * 10)
    assert stratified_part(labels, 'val').tolist() == [1, 8, 18, 19]
