# Copyright (c) mmdckd contributors. All rights reserved.
import numpy as np
import pytest
import torch

from mmdckd.models.teachers.fingerprints import fingerprints, mixed


def test_each_byte_of_a_small_image_counts():
    images = torch.zeros(1 + 3 * 4 * 5, 3, 4, 5, dtype=torch.uint8)
    for number, image in enumerate(images[1:]):
        image.view(-1)[number] = 1
    prints = fingerprints(images)
    assert prints.dtype == np.uint64
    assert len(set(prints)) == len(images)
    assert (fingerprints(list(images)) == prints).all()


def test_shape_and_type_count():
    zeros = torch.zeros(3, 4, 6, dtype=torch.uint8)
    others = [zeros.view(3, 6, 4), torch.zeros(3, 4, 6)]
    assert len(set(fingerprints([zeros, *others]))) == 3


@pytest.mark.parametrize('row', [0, 100, 223])
def test_a_line_in_a_large_image_counts(row):
    for shape in ((3, 224, 224), (3, 256, 256)):
        image = torch.zeros(shape, dtype=torch.uint8)
        line, column = image.clone(), image.clone()
        line[:, row] = 1
        column[:, :, row] = 1
        assert len(set(fingerprints([image, line, column]))) == 3


def test_a_mixed_image_depends_on_the_whole_batch_and_on_the_draw():
    prints = fingerprints(torch.arange(3)[:, None, None, None].float())
    other = prints.copy()
    other[2] += np.uint64(1)
    batches = [mixed(prints, 0, 1), mixed(prints, 0, 2), mixed(other, 0, 1)]
    assert len({batch[0] for batch in batches}) == 3
    assert (mixed(prints, 0, 1) == batches[0]).all()
