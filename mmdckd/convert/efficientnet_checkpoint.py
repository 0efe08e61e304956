# Copyright (c) mmdckd contributors. All rights reserved.
"""Convert EfficientNets of the package efficientnet-pytorch to timm's names."""

import re
from typing import Dict, List

import torch
from torch import Tensor

StateDict = Dict[str, Tensor]

_AROUND = {
    '_conv_stem': 'conv_stem',
    '_bn0': 'bn1',
    '_conv_head': 'conv_head',
    '_bn1': 'bn2',
    '_fc': 'classifier',
}
_SQUEEZE = {'_se_reduce': 'se.conv_reduce', '_se_expand': 'se.conv_expand'}
#: The layers of a block with an expanding convolution, and of one without.
_WIDENING = {
    '_expand_conv': 'conv_pw',
    '_bn0': 'bn1',
    '_depthwise_conv': 'conv_dw',
    '_bn1': 'bn2',
    '_project_conv': 'conv_pwl',
    '_bn2': 'bn3',
    **_SQUEEZE,
}
_PLAIN = {
    '_depthwise_conv': 'conv_dw',
    '_bn1': 'bn1',
    '_project_conv': 'conv_pw',
    '_bn2': 'bn2',
    **_SQUEEZE,
}


def convert_efficientnet_state_dict(
    state_dict: StateDict, target: StateDict
) -> StateDict:
    """Convert the names of an EfficientNet's weights to timm's.

    The original names are those of `EfficientNet-PyTorch
    <https://github.com/lukemelas/EfficientNet-PyTorch>`_, which several packages
    of weights use. It numbers blocks consecutively, timm by stage.

    Args:
        state_dict (Dict[str, Tensor]): Weights with the original names, for
            example ``_blocks.0._depthwise_conv.weight``.
        target (Dict[str, Tensor]): The state dict of timm's network.

    Returns:
        Dict[str, Tensor]: The same tensors in the order of ``target``.

    Raises:
        ValueError: If a key is unknown or missing, or a shape differs.
    """
    blocks = list(dict.fromkeys(re.findall(r'blocks\.\d+\.\d+', '\n'.join(target))))
    converted = {_rename(key, state_dict, blocks): key for key in state_dict}
    weights = {
        # Files of PyTorch 0.4.0 do not have them: 0, as PyTorch would read them.
        **{
            key: torch.zeros_like(value)
            for key, value in target.items()
            if key.endswith('num_batches_tracked')
        },
        **{new: state_dict[key] for new, key in converted.items()},
    }
    faults = [key for new, key in converted.items() if new not in target]
    faults += [key for key in target if key not in weights]
    faults += [
        f'{key}: {tuple(state_dict[key].shape)} instead of {tuple(target[new].shape)}'
        for new, key in converted.items()
        if new in target and state_dict[key].shape != target[new].shape
    ]
    if faults:
        more = ', ...' if len(faults) > 4 else ''
        raise ValueError(
            'Invalid `src`: expected the weights of this EfficientNet, named as in '
            f'efficientnet-pytorch, got other keys: {", ".join(faults[:4])}{more}.'
        )
    return {key: weights[key] for key in target}


def _rename(key: str, state_dict: StateDict, blocks: List[str]) -> str:
    layer, _, name = key.rpartition('.')
    found = re.fullmatch(r'_blocks\.(\d+)\.(\w+)', layer)
    if found is None:
        return f'{_AROUND.get(layer, layer)}.{name}'
    number, part = int(found[1]), found[2]
    if number >= len(blocks):
        return key
    widens = f'_blocks.{number}._expand_conv.weight' in state_dict
    own = (_WIDENING if widens else _PLAIN).get(part, part)
    return f'{blocks[number]}.{own}.{name}'
