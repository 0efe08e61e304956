# Fashion-MNIST, padded to 32x32: of its 60,000 images to train on the first
# 12,000 train and the last 3,000 validate.
_base_ = 'recipe.py'

import os  # noqa: E402 isort: skip

_small = os.environ.get('GPU_STUDY_DEVICE') == 'cpu'
_fashion = dict(
    type='FashionMNIST', data_root='data/fashion-mnist', download=False)
_test_pipeline = [
    dict(type='CenterCrop', crop_size=32, auto_pad=True),
    dict(type='PackInputs'),
]

data_preprocessor = dict(num_classes=10, mean=[73.], std=[90.], to_rgb=False)

train_dataloader = dict(
    dataset=dict(
        **_fashion,
        split='train',
        indices=128 if _small else 12000,
        pipeline=[
            dict(type='RandomCrop', crop_size=32, padding=4),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackInputs'),
        ]),
    sampler=dict(type='DefaultSampler', shuffle=True))

val_dataloader = dict(
    dataset=dict(
        **_fashion,
        split='train',
        indices=-64 if _small else -3000,
        pipeline=_test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False))
val_evaluator = dict(type='Accuracy', topk=(1, ))

test_dataloader = dict(
    dataset=dict(
        **_fashion,
        split='test',
        test_mode=True,
        indices=64 if _small else 10000,
        pipeline=_test_pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False))
test_evaluator = val_evaluator
