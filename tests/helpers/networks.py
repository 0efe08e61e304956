# Copyright (c) mmdckd contributors. All rights reserved.
"""Small real networks and real images for the tests."""

import functools

import torch
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from sklearn.datasets import load_digits

import mmdckd  # noqa: F401
from mmdckd.registry import MODELS

PREPROCESSOR = dict(
    type='mmpretrain.ClsDataPreprocessor',
    num_classes=10,
    mean=[80.0, 80.0, 80.0],
    std=[90.0, 90.0, 90.0],
)

#: A ResNet of two stages: half the layers of ResNet-18.
SHALLOW = dict(num_stages=2, strides=(1, 2), dilations=(1, 1), out_indices=(1,))


def network(depth=18, width=4, num_classes=10, **kwargs):
    """A CIFAR ResNet of MMPretrain, narrow enough for a test."""
    head = dict(
        type='LinearClsHead',
        num_classes=num_classes,
        in_channels=8 * width,
        loss=dict(type='CrossEntropyLoss'),
    )
    return dict(
        type='ImageClassifier',
        backbone=dict(
            type='ResNet_CIFAR', depth=depth, stem_channels=width, base_channels=width
        ),
        neck=dict(type='GlobalAveragePooling'),
        head=head,
        **kwargs,
    )


def shallow(width=4, **kwargs):
    """The same in half the time, for tests in which any network will do."""
    cfg = network(width=width, **kwargs)
    cfg['backbone'].update(SHALLOW)
    cfg['head']['in_channels'] = 2 * width
    return cfg


def multi_label(depth=18, num_classes=10, **head):
    """The same with a head for several labels an image."""
    cfg = network(depth)
    cfg['head'] = dict(
        type='MultiLabelLinearClsHead', num_classes=num_classes, in_channels=32, **head
    )
    return cfg


def token_network(head, size=8):
    """A small network with a class and a distillation classifier.

    Args:
        head (str): ``'DeiTClsHead'``, whose features are two tokens of a
            transformer, ``'LeViTClsHead'`` or ``'EfficientFormerClsHead'``.
        size (int): The side of the images of a transformer.
    """
    if head != 'DeiTClsHead':
        cfg = network()
        cfg['head']['type'] = head
        return cfg
    arch = dict(embed_dims=16, num_layers=2, num_heads=2, feedforward_channels=32)
    return dict(
        type='ImageClassifier',
        backbone=dict(
            type='DistilledVisionTransformer', arch=arch, img_size=size, patch_size=4
        ),
        head=dict(
            type=head,
            num_classes=10,
            in_channels=16,
            loss=dict(type='CrossEntropyLoss'),
            init_cfg=dict(type='TruncNormal', layer='Linear', std=0.02),
        ),
    )


def build(scope='mmpretrain', **cfg):
    cfg.setdefault('type', 'mmdckd.CollectiveDistill')
    cfg.setdefault('data_preprocessor', dict(PREPROCESSOR))
    with DefaultScope.overwrite_default_scope(scope):
        return MODELS.build(cfg)


def distil(num_students=2, seed=0, **cfg):
    """An initialized CollectiveDistill."""
    torch.manual_seed(seed)
    if 'students' not in cfg:
        cfg.setdefault('architecture', network())
        cfg['num_students'] = num_students
    cfg.setdefault('teacher', network(34))
    cfg.setdefault('allow_random_teacher', True)
    cfg.setdefault('distiller', dckd())
    model = build(**cfg)
    model.init_weights()
    return model


def shallow_distil(num_students=2, seed=0, **cfg):
    """The same of networks of two stages, in half the time."""
    if 'students' not in cfg:
        cfg.setdefault('architecture', shallow())
    cfg.setdefault('teacher', shallow(6))
    return distil(num_students, seed, **cfg)


def digits(count=16, start=0):
    """A batch of handwritten digits as a dataloader collates it."""
    images, labels = _digits()
    return dict(
        inputs=images[start : start + count].clone()[:, None].expand(-1, 3, -1, -1),
        data_samples=[
            DataSample().set_gt_label(y) for y in labels[start : start + count]
        ],
    )


@functools.cache
def _digits():
    """All images as uint8, and their labels: to read them takes 20 ms."""
    data = load_digits()
    images = torch.from_numpy(data.images) * 15.9375
    return images.to(torch.uint8), data.target.tolist()


def dckd(**kwargs):
    """A distiller with one DCKDLoss."""
    return dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss', **kwargs)),
    )


def losses_of(model, batch):
    """The losses of a step on a batch."""
    model.train()
    return model(**model.data_preprocessor(batch, True), mode='loss')
