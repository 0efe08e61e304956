# Copyright (c) mmdckd contributors. All rights reserved.
import numpy as np
import pytest
from mmcv.transforms import RandomFlip
from mmpretrain.datasets.transforms import RandomCrop

from mmdckd.datasets import EnumeratedCropFlip


@pytest.fixture
def image():
    return np.random.RandomState(0).randint(1, 256, (6, 6, 3), dtype=np.uint8)


def test_views_are_those_of_random_crop_and_flip(image):
    """All of them, each once, and no other."""
    transform = EnumeratedCropFlip(padding=1)
    ours = {
        transform.view(dict(img=image), number)['img'].tobytes()
        for number in range(transform.num_views)
    }
    assert len(ours) == transform.num_views == 18
    crop, flip = RandomCrop(crop_size=6, padding=1), RandomFlip(prob=0.5)
    np.random.seed(0)
    theirs = {
        np.ascontiguousarray(flip(crop(dict(img=image)))['img']).tobytes()
        for _ in range(500)
    }
    assert ours == theirs


def test_a_view_says_which_it_is(image):
    transform = EnumeratedCropFlip(padding=2, flip=False)
    np.random.seed(0)
    seen = set()
    for _ in range(300):
        results = transform(dict(img=image, gt_label=3))
        assert results['gt_label'] == 3 and results['img'].shape == (6, 6, 3)
        again = transform.view(dict(img=image), results['view'])
        assert np.array_equal(results['img'], again['img'])
        seen.add(results['view'])
    assert seen == set(range(25))
    middle = transform.view(dict(img=image), 12)
    assert np.array_equal(middle['img'], image)


def test_cifar_has_162_views():
    assert EnumeratedCropFlip().num_views == 162


@pytest.mark.parametrize('padding', [-1, 1.5, None, True])
def test_padding_is_a_number_of_pixels(padding):
    with pytest.raises(ValueError, match='`padding`.*0 or more'):
        EnumeratedCropFlip(padding=padding)
