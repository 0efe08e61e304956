# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional, Tuple, Union

import torch
from mmengine.model import BaseModel

from mmdckd.errors import invalid

from ..networks import NetworkSpec, build_network, resolve_network
from ..weights import check_pretrained_parts
from .input_adapter import InputAdapter


def build_teacher(
    cfg: Union[dict, BaseModel],
    checkpoint: Optional[str] = None,
    allow_random: bool = False,
) -> Tuple[BaseModel, InputAdapter]:
    """Build a teacher with its weights, and the adapter of its input.

    Args:
        cfg (dict | :obj:`BaseModel`): The network's config; see
            :func:`~mmdckd.models.networks.resolve_network`. It may also have
            ``input_size``: the side, or (height, width), in pixels, to which
            images are resized for this teacher.
        checkpoint (str, optional): Path or URL of its weights, if the config
            names none. Every key must match. Defaults to None.
        allow_random (bool): Whether a teacher without weights is accepted.
            Defaults to False.

    Returns:
        tuple: The network and its :class:`InputAdapter`.

    Raises:
        ValueError: If there are no weights and ``allow_random`` is False, if
            they are named twice, or if they do not fit.
    """
    if isinstance(cfg, BaseModel):
        if checkpoint:
            expected = 'None with a network, whose weights are used,'
            raise invalid('teacher_ckpt', expected, checkpoint)
        preprocessor = cfg.data_preprocessor
        normalizes = hasattr(preprocessor, 'mean')
        return cfg, InputAdapter(preprocessor if normalizes else None)
    size = None
    if isinstance(cfg, dict):
        cfg = dict(cfg)
        size = cfg.pop('input_size', None)
    spec = resolve_network(cfg, 'teacher')
    if spec.new_head:
        raise ValueError(
            'Invalid `teacher.new_head`: expected False, as a teacher needs a '
            'trained head, got True.'
        )
    weights = weights_of(spec)
    if checkpoint and weights:
        raise ValueError(
            f'Invalid `teacher_ckpt`: expected None, as `teacher` names the '
            f'weights {weights!r}, got {checkpoint!r}.'
        )
    if checkpoint:
        spec.weights, spec.key = checkpoint, 'teacher_ckpt'
    if not (weights or checkpoint or allow_random):
        raise ValueError(
            'Invalid `teacher`: expected a network with trained weights, got none. '
            'Set `teacher_ckpt` to a checkpoint, or `teacher.pretrained=True`. To '
            'distill from a random network, set `allow_random_teacher=True`.'
        )
    # Building a teacher must not advance the students' random stream.
    with torch.random.fork_rng(devices=[]):
        network = build_network(spec)
        if not weights_of(spec):
            check_pretrained_parts(network, 'model.teacher')
            network.init_weights()
    return network, InputAdapter(
        network.data_preprocessor if spec.data_preprocessor else None, size
    )


def weights_of(spec: NetworkSpec) -> Union[str, bool, None]:
    """Return what names the weights of a network: a path or URL, or True if its
    library loads them, as for a ``TimmClassifier``; None if nothing does.

    Args:
        spec (NetworkSpec): The network.
    """
    return spec.weights or spec.model.get('pretrained') is True or None
