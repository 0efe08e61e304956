# Copyright (c) mmdckd contributors. All rights reserved.
# Fashion-MNIST, padded to 32x32: 12,000 images train.
_base_ = '../../../configs/_base_/datasets/fashion_mnist.py'

import os  # noqa: E402 isort: skip

_small = os.environ.get('GPU_STUDY_DEVICE') == 'cpu'
_test_pipeline = [
    dict(type='CenterCrop', crop_size=32, auto_pad=True),
    dict(type='PackInputs'),
]


def _split(number, pipeline):
    return dict(
        dataset=dict(
            data_root='data/fashion-mnist', num_images=number, pipeline=pipeline
        )
    )


train_dataloader = _split(
    128 if _small else 12000,
    [
        dict(type='RandomCrop', crop_size=32, padding=4),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackInputs'),
    ],
)
val_dataloader = _split(60 if _small else 3000, _test_pipeline)
test_dataloader = _split(60 if _small else None, _test_pipeline)
