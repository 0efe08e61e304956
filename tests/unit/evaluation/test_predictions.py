# Copyright (c) mmdckd contributors. All rights reserved.
import numpy as np
import torch

from mmdckd.evaluation import Predictions, split_files


def test_predictions_come_in_the_order_of_the_dataset():
    """Several processes have every second image, or another part."""
    predictions = Predictions()
    whole = torch.rand(2, 5, 3, generator=torch.Generator().manual_seed(0))
    labels, files = torch.tensor([0, 1, 2, 0, 1]), [f'{i}é\udce4.png' for i in range(5)]
    for numbers in ([0, 2, 4], [1, 3]):
        predictions.add(
            dict(student0=whole[0, numbers], teacher=whole[1, numbers]),
            labels[numbers],
            numbers,
            [files[number] for number in numbers],
        )
    arrays = predictions.arrays()
    assert arrays['numbers'].tolist() == [0, 1, 2, 3, 4]
    assert arrays['labels'].tolist() == labels.tolist()
    np.testing.assert_array_equal(arrays['top'], whole.argmax(2))
    np.testing.assert_array_equal(arrays['confidence'], whole.max(2).values)
    assert split_files(arrays['files']) == files
    assert Predictions().arrays() == {}


def test_images_without_a_number_keep_their_order():
    predictions = Predictions()
    numbers = [-1 if i % 2 else 300 - i for i in range(300)]
    scores = dict(student0=torch.rand(300, 2))
    predictions.add(scores, torch.arange(300), numbers, [''] * 300)
    labels = predictions.arrays()['labels'].tolist()
    assert labels == [*range(1, 300, 2), *range(298, -1, -2)]
