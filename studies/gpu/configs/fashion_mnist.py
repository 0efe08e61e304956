# Copyright (c) mmdckd contributors. All rights reserved.
# Fashion-MNIST, padded to 32x32, with 12,000 training images.
_base_ = '../../../configs/_base_/datasets/fashion_mnist.py'

_data_root = 'data/fashion-mnist'
_test_pipeline = [
    dict(type='CenterCrop', crop_size=32, auto_pad=True),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    dataset=dict(
        data_root=_data_root,
        num_images=12000,
        pipeline=[
            dict(type='RandomCrop', crop_size=32, padding=4),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackInputs'),
        ],
    )
)
val_dataloader = dict(
    dataset=dict(data_root=_data_root, num_images=3000, pipeline=_test_pipeline)
)
test_dataloader = dict(dataset=dict(data_root=_data_root, pipeline=_test_pipeline))
