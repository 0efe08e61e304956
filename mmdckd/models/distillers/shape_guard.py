# Copyright (c) mmdckd contributors. All rights reserved.
"""Check that features have compatible shapes, and suggest a connector."""

from functools import partial
from math import prod
from typing import Any, Callable, Dict, List, Optional, Tuple

import torch
from mmengine.structures import BaseDataElement
from mmrazor.models import losses
from mmrazor.models.distillers import ConfigurableDistiller
from torch import nn

from mmdckd.errors import invalid

Shape = Tuple[int, ...]


def _whole(loss: nn.Module, shape: Shape) -> Shape:
    return shape


def _flat(loss: nn.Module, shape: Shape) -> Shape:
    return shape[0], prod(shape[1:])


def _flat_if_normalized(loss: nn.Module, shape: Shape) -> Shape:
    return _flat(loss, shape) if loss.normalize else shape


def _space(loss: nn.Module, shape: Shape) -> Shape:
    return (shape[0], *shape[2:])


def _channels(loss: nn.Module, shape: Shape) -> Shape:
    return shape[:2]


#: The part of the shape that has to be equal for student and teacher, by loss of
#: MMRazor; some of them would broadcast instead of failing. Losses that are not
#: listed check shapes themselves.
SAME: Dict[type, Callable[[nn.Module, Shape], Shape]] = {
    losses.ABLoss: _whole,
    losses.ATLoss: _space,
    losses.ChannelWiseDivergence: _whole,
    losses.CRDLoss: _whole,
    losses.CrossEntropyLoss: _whole,
    losses.DISTLoss: _whole,
    losses.DKDLoss: _whole,
    losses.FTLoss: _flat,
    losses.KDSoftCELoss: _whole,
    losses.KLDivergence: _whole,
    losses.L1Loss: _whole,
    losses.L2Loss: _flat_if_normalized,
    losses.MGDLoss: _whole,
    losses.OFDLoss: _whole,
    losses.PKDLoss: _channels,
    losses.WSLD: _whole,
}


def guard_shapes(distiller: ConfigurableDistiller) -> None:
    """Check the shapes of the features that a distiller's losses compare and its
    connectors receive.

    A mismatch ends the first training step before any weight changes. The error
    has both shapes and suggests a connector. A record of several tensors, as of a
    backbone or neck of MMPretrain, needs a ``data_idx``, unless the loss takes them.

    Args:
        distiller (:obj:`ConfigurableDistiller`): The distiller of one student.
    """
    inputs: Dict[str, Tuple[str, dict]] = {}
    for loss_name, mapping in distiller.loss_forward_mappings.items():
        distiller.distill_losses[loss_name].register_forward_pre_hook(
            partial(_check_loss, loss_name, mapping), with_kwargs=True
        )
        inputs.update(
            (record['connector'], (f'{loss_name}.{key}', record))
            for key, record in mapping.items()
            if 'connector' in record
        )
    for name, (where, record) in inputs.items():
        distiller.connectors[name].register_forward_pre_hook(
            partial(_check_connector, name, where, record)
        )


def _check_loss(
    name: str, mapping: dict, loss: nn.Module, args: tuple, kwargs: dict
) -> None:
    sides: Dict[bool, list] = {True: [], False: []}
    same = SAME.get(type(loss))
    for key, record in mapping.items():
        value = kwargs.get(key)
        if same is not None and not isinstance(loss, losses.PKDLoss):
            _check_single(f'{name}.{key}', record, value)
        # Labels are not compared.
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            sides[record['from_student']].append((key, tuple(value.shape)))
    if same is None or not len(sides[True]) == len(sides[False]) == 1:
        return
    (s_key, s_shape), (t_key, t_shape) = sides[True][0], sides[False][0]
    if same(loss, s_shape) == same(loss, t_shape):
        return
    raise ValueError(
        f'Invalid `distiller.distill_losses.{name}`: expected compatible shapes for '
        f"{type(loss).__name__}, got {s_shape} of the student's "
        f"{_describe(mapping[s_key])} and {t_shape} of the teacher's "
        f'{_describe(mapping[t_key])}. '
        + _remedy(name, s_key, mapping[s_key], s_shape, t_shape)
    )


def _check_single(where: str, record: dict, value: Any) -> None:
    """Refuse several tensors, where a loss or connector of MMRazor takes one."""
    if isinstance(value, (tuple, list)) and not any(
        isinstance(each, BaseDataElement)  # of which CRDLoss takes a list
        for each in value
    ):
        raise invalid(
            f'distiller.loss_forward_mappings.{where}.data_idx',
            f'the index of one of the {len(value)} values that the source of '
            f'`{record["recorder"]}` returns, such as -1',
            record.get('data_idx'),
        )


def _check_connector(
    name: str, where: str, record: dict, connector: nn.Module, args: tuple
) -> None:
    feature = args[0]
    if type(connector).__module__.startswith('mmrazor.'):
        _check_single(where, record, feature)
    layer = next((m for m in connector.modules() if _width(m)), None)
    if layer is None or not isinstance(feature, torch.Tensor):
        return
    shape = tuple(feature.shape)
    found = {shape[1]}
    if isinstance(layer, nn.Linear):
        # It receives the channels, pooled or not, or the whole flattened feature.
        found |= {shape[-1], prod(shape[1:])}
    if _width(layer) not in found:
        whose = 'student' if record['from_student'] else 'teacher'
        raise ValueError(
            f'Invalid `distiller.connectors.{name}`: expected one for {shape[1]} '
            f"channels, as the {whose}'s `{record['recorder']}` has shape {shape}, "
            f'got one for {_width(layer)}.'
        )


def _width(layer: nn.Module) -> Optional[int]:
    """Return the number of input channels of a layer; None if it accepts any."""
    if isinstance(layer, nn.Conv2d):
        return layer.in_channels
    if isinstance(layer, nn.Linear):
        return layer.in_features
    if isinstance(layer, nn.modules.batchnorm._BatchNorm):
        return layer.num_features
    return None


def _describe(record: dict) -> str:
    text = f'`{record["recorder"]}`'
    if 'connector' in record:
        text += f' behind the connector `{record["connector"]}`'
    return text


def _remedy(loss: str, key: str, record: dict, student: Shape, teacher: Shape) -> str:
    if 'connector' in record:
        return f'Let `distiller.connectors.{record["connector"]}` return {teacher}.'
    lines = _connectors(student, teacher)
    if not lines:
        return (
            'No connector of MMRazor converts one to the other: record both before, '
            'or both after, the layers that pool or flatten them.'
        )
    name = f'{loss}_{key}'
    line = lines[0] if len(lines) == 1 else f'[{", ".join(lines)}]'
    return (
        f'A connector converts one to the other: add {name}={line} to '
        f"`distiller.connectors` and connector='{name}' to "
        f'`distiller.loss_forward_mappings.{loss}.{key}`.'
    )


def _connectors(student: Shape, teacher: Shape) -> list:
    """List the configs, as text, of connectors from one shape to another."""
    lines: List[str] = []
    if len(student) != len(teacher) or student[0] != teacher[0]:
        return lines
    if len(student) == 4:
        (c_s, *space_s), (c_t, *space_t) = student[1:], teacher[1:]
        if c_s != c_t:
            lines.append(
                f"dict(type='ConvModuleConnector', in_channel={c_s}, "
                f'out_channel={c_t}, act_cfg=None)'
            )
        if space_s != space_t:
            smaller = prod(space_s) < prod(space_t)
            function, argument = (
                ('interpolate', 'size')
                if smaller
                else ('adaptive_avg_pool2d', 'output_size')
            )
            lines.append(
                "dict(type='TorchFunctionalConnector', "
                f"function_name='{function}', "
                f'func_args=dict({argument}={tuple(space_t)}))'
            )
    elif student[:-1] == teacher[:-1]:
        lines.append(
            "dict(type='TorchNNConnector', module_name='Linear', "
            f'module_args=dict(in_features={student[-1]}, '
            f'out_features={teacher[-1]}))'
        )
    return lines
