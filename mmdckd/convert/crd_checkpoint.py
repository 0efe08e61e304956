# Copyright (c) mmdckd contributors. All rights reserved.
"""Convert checkpoints of the CRD benchmark to networks of MMPretrain."""

import re
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Tuple

from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from torch import Tensor

from mmdckd.registry import MODELS

from .tensors import check_tensors

StateDict = Dict[str, Tensor]
_SHOWN_KEYS = 8


class Family(NamedTuple):
    """A family of networks whose state dicts have the same names.

    Attributes:
        name (str): Its name.
        marks (Tuple[str]): Keys that together identify the family.
        classifier (str): The name of the last layer.
        describe (Callable): Maps a state dict to the config of the backbone.
        rules (Callable): Maps a state dict to patterns and replacements of
            names of layers, as for :func:`re.sub`.
    """

    name: str
    marks: Tuple[str, ...]
    classifier: str
    describe: Callable[[StateDict], dict]
    rules: Callable[[StateDict], List[Tuple[str, str]]]


def convert_crd_state_dict(state_dict: StateDict) -> Tuple[dict, StateDict]:
    """Convert a state dict of the reference code of the CRD benchmark.

    Many papers use the teachers trained with the code of `Contrastive
    Representation Distillation <https://arxiv.org/abs/1910.10699>`_ (Tian et
    al., ICLR 2020). The network is identified by names and shapes.

    Args:
        state_dict (Dict[str, Tensor]): Weights with the names of that code, for
            example ``layer1.0.conv1.weight``.

    Returns:
        Tuple[dict, Dict[str, Tensor]]: The config of the same network as a
        model of MMPretrain, and its state dict; it computes the same logits.

    Raises:
        ValueError: If it is not one of these networks, or a key is unknown,
            missing, or has another shape.
    """
    for family in _FAMILIES:
        if all(mark in state_dict for mark in family.marks):
            break
    else:
        raise ValueError(
            'Invalid `src`: expected a network of the CRD benchmark ('
            f'{", ".join(family.name for family in _FAMILIES)}), got the keys '
            f'{_some(state_dict)}.'
        )
    last = f'{family.classifier}.weight'
    # All marks but the last layer are convolutions.
    check_tensors(state_dict, {**dict.fromkeys(family.marks, 4), last: 2})
    weight = state_dict[last]
    model = dict(
        type='ImageClassifier',
        backbone=family.describe(state_dict),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(
            type='LinearClsHead',
            num_classes=weight.shape[0],
            in_channels=weight.shape[1],
            loss=dict(type='CrossEntropyLoss'),
        ),
    )
    rules = [(family.classifier, 'head.fc'), *family.rules(state_dict)]
    renamed = {_rename(key, rules): key for key in state_dict}
    target = _build(model).state_dict()
    shapes = {key: tuple(value.shape) for key, value in target.items()}
    converted = {
        # Files of PyTorch 0.4.0 do not have them: 0, as PyTorch would read them.
        **{key: target[key] for key in shapes if key.endswith('num_batches_tracked')},
        **{new: state_dict[key] for new, key in renamed.items()},
    }
    faults = [
        ('unknown', [key for new, key in renamed.items() if new not in shapes]),
        (
            'missing (by their names in MMPretrain)',
            [key for key in shapes if key not in converted],
        ),
        (
            'of another shape',
            [
                f'{renamed[key]}: {tuple(value.shape)} instead of {shapes[key]}'
                for key, value in converted.items()
                if key in shapes and tuple(value.shape) != shapes[key]
            ],
        ),
    ]
    if any(keys for _, keys in faults):
        raise ValueError(
            f'Invalid `src`: expected the weights of a {family.name} '
            f'({_call(model["backbone"])}), as its keys suggest, got others:'
            + ''.join(
                f'\n  {len(keys)} {what}: {_some(keys)}'
                for what, keys in faults
                if keys
            )
        )
    return model, converted


def _build(model: dict) -> BaseModel:
    try:
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            return MODELS.build(model)
    except KeyError as error:
        raise ValueError(
            'Invalid `src`: expected a network of the CRD benchmark, got a '
            f'{_call(model["backbone"])}, which does not exist ({error}).'
        ) from error


def _rename(key: str, rules: List[Tuple[str, str]]) -> str:
    layer, _, rest = key.rpartition('.')
    for pattern, replacement in rules:
        if re.fullmatch(pattern, layer):
            return f'{re.sub(pattern, replacement, layer)}.{rest}'
    return key


def _call(cfg: Any) -> str:
    arguments = [f'{k}={v}' for k, v in cfg.items() if k != 'type']
    return f'{cfg["type"]} {" ".join(arguments)}'.strip()


def _some(keys: Iterable[str]) -> str:
    keys = list(keys)
    more = ', ...' if len(keys) > _SHOWN_KEYS else ''
    return ', '.join(keys[:_SHOWN_KEYS]) + more


def _count(state_dict: StateDict, pattern: str) -> int:
    return sum(bool(re.fullmatch(pattern, key)) for key in state_dict)


def _describe_resnet(state_dict: StateDict) -> dict:
    blocks = _count(state_dict, r'layer1\.\d+\.conv1\.weight')
    return dict(
        type='mmdckd.CIFARResNet',
        depth=6 * blocks + 2,
        stem_channels=state_dict['conv1.weight'].shape[0],
        base_channels=state_dict['layer1.0.conv1.weight'].shape[0],
    )


def _resnet_rules(state_dict: StateDict) -> List[Tuple[str, str]]:
    return [
        (r'layer(\d\.\d+)\.shortcut\.(\d)', r'backbone.layer\1.downsample.\2'),
        (r'(conv1|bn1|layer.+)', r'backbone.\1'),
    ]


def _describe_resnet50(state_dict: StateDict) -> dict:
    return dict(type='ResNet_CIFAR', depth=50, zero_init_residual=False)


def _describe_wide_resnet(state_dict: StateDict) -> dict:
    blocks = _count(state_dict, r'block1\.layer\.\d+\.conv1\.weight')
    channels = state_dict['block1.layer.0.conv1.weight'].shape[0]
    return dict(
        type='mmdckd.CIFARWideResNet', depth=6 * blocks + 4, widen_factor=channels // 16
    )


def _wide_resnet_rules(state_dict: StateDict) -> List[Tuple[str, str]]:
    return [
        (r'block(\d)\.layer\.(\d+)\.convShortcut', r'backbone.layer\1.\2.downsample'),
        (r'block(\d)\.layer\.(.+)', r'backbone.layer\1.\2'),
        (r'(conv1|bn1)', r'backbone.\1'),
    ]


def _convolutions_of_vgg(state_dict: StateDict) -> List[int]:
    """Count the convolutions in each block, the only layers with 4-D weights."""
    return [
        sum(
            bool(re.fullmatch(rf'block{block}\.\d+\.weight', key)) and value.ndim == 4
            for key, value in state_dict.items()
        )
        for block in range(5)
    ]


def _describe_vgg(state_dict: StateDict) -> dict:
    return dict(type='mmdckd.CIFARVGG', depth=sum(_convolutions_of_vgg(state_dict)) + 3)


def _vgg_rules(state_dict: StateDict) -> List[Tuple[str, str]]:
    rules = []
    index = 0
    for block, number in enumerate(_convolutions_of_vgg(state_dict)):
        # A convolution and a normalization have keys, an activation has none.
        for layer in range(0, 3 * number, 3):
            rules += [
                (rf'block{block}\.{layer}', f'backbone.features.{index}.conv'),
                (rf'block{block}\.{layer + 1}', f'backbone.features.{index}.bn'),
            ]
            index += 1
        index += 1  # the pooling
    return rules


def _describe_mobilenet_v2(state_dict: StateDict) -> dict:
    expanded, channels = state_dict['blocks.1.0.conv.0.weight'].shape[:2]
    return dict(
        type='mmdckd.CIFARMobileNetV2',
        widen_factor=state_dict['conv1.0.weight'].shape[0] / 32,
        expand_ratio=expanded // channels,
    )


def _mobilenet_v2_rules(state_dict: StateDict) -> List[Tuple[str, str]]:
    rules = []
    for offset, kind in enumerate(('conv', 'bn')):
        rules += [
            (rf'conv1\.{offset}', f'backbone.conv1.{kind}'),
            (rf'conv2\.{offset}', f'backbone.layers.7.{kind}'),
        ]
        rules += [
            (
                rf'blocks\.(\d+\.\d+)\.conv\.{3 * index + offset}',
                rf'backbone.layers.\1.conv.{index}.{kind}',
            )
            for index in range(3)
        ]
    return rules


def _describe_shufflenet_v1(state_dict: StateDict) -> dict:
    return dict(type='mmdckd.CIFARShuffleNetV1')


def _shufflenet_v1_rules(state_dict: StateDict) -> List[Tuple[str, str]]:
    names = ('compress', 'depthwise', 'expand')
    return _shufflenet_stem() + [
        (
            rf'layer{stage + 1}\.(\d+)\.{kind}{number}',
            rf'backbone.layers.{stage}.\1.{name}.{kind}',
        )
        for stage in range(3)
        for number, name in enumerate(names, 1)
        for kind in ('conv', 'bn')
    ]


def _describe_shufflenet_v2(state_dict: StateDict) -> dict:
    return dict(type='mmdckd.CIFARShuffleNetV2')


def _shufflenet_v2_rules(state_dict: StateDict) -> List[Tuple[str, str]]:
    branches = ('branch1.0', 'branch1.1', 'branch2.0', 'branch2.1', 'branch2.2')
    rules = _shufflenet_stem()
    for kind in ('conv', 'bn'):
        rules.append((f'{kind}2', f'backbone.layers.3.{kind}'))
        for stage in range(3):
            rules += [
                (
                    rf'layer{stage + 1}\.0\.{kind}{number}',
                    f'backbone.layers.{stage}.0.{branch}.{kind}',
                )
                for number, branch in enumerate(branches, 1)
            ]
            rules += [
                (
                    rf'layer{stage + 1}\.(\d+)\.{kind}{number + 1}',
                    rf'backbone.layers.{stage}.\1.branch2.{number}.{kind}',
                )
                for number in range(3)
            ]
    return rules


def _shufflenet_stem() -> List[Tuple[str, str]]:
    return [(f'{kind}1', f'backbone.conv1.0.{kind}') for kind in ('conv', 'bn')]


# The first family whose marks are all present is used.
_FAMILIES = (
    Family(
        'VGG',
        ('block0.0.weight', 'classifier.weight'),
        'classifier',
        _describe_vgg,
        _vgg_rules,
    ),
    Family(
        'WideResNet',
        ('block1.layer.0.conv1.weight', 'fc.weight'),
        'fc',
        _describe_wide_resnet,
        _wide_resnet_rules,
    ),
    Family(
        'MobileNetV2',
        ('conv1.0.weight', 'blocks.1.0.conv.0.weight', 'classifier.0.weight'),
        'classifier.0',
        _describe_mobilenet_v2,
        _mobilenet_v2_rules,
    ),
    Family(
        'ResNet-50',
        ('layer4.0.shortcut.0.weight', 'linear.weight'),
        'linear',
        _describe_resnet50,
        _resnet_rules,
    ),
    Family(
        'ShuffleNetV2',
        ('layer2.0.conv5.weight', 'linear.weight'),
        'linear',
        _describe_shufflenet_v2,
        _shufflenet_v2_rules,
    ),
    Family(
        'ShuffleNetV1',
        ('layer1.0.conv3.weight', 'linear.weight'),
        'linear',
        _describe_shufflenet_v1,
        _shufflenet_v1_rules,
    ),
    Family(
        'ResNet',
        ('conv1.weight', 'layer1.0.conv1.weight', 'fc.weight'),
        'fc',
        _describe_resnet,
        _resnet_rules,
    ),
)
