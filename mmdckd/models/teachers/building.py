# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional, Tuple, Union

import torch
from mmengine.model import BaseModel

from ..networks import build_network, resolve_network
from ..weights import check_pretrained_parts
from .input_adapter import InputAdapter


def build_teacher(
    cfg: Union[dict, BaseModel],
    checkpoint: Optional[str] = None,
    allow_random: bool = False,
) -> Tuple[BaseModel, InputAdapter]:
    """Build a teacher's network with its weights, and what adapts images to
    it.

    Args:
        cfg (dict | :obj:`BaseModel`): The network's config; see
            :func:`~mmdckd.models.networks.resolve_network`. It may have
            ``input_size`` beside: the side, or height and width, that images
            are resized to for this teacher.
        checkpoint (str, optional): Path or address of its weights, where the
            config names none. Every key must fit. Defaults to None.
        allow_random (bool): Whether a teacher without weights is accepted.
            Defaults to False.

    Returns:
        tuple: The network, and its :class:`InputAdapter`.

    Raises:
        ValueError: If there are no weights and ``allow_random`` is False, if
            two are named, or if they do not fit.
    """
    if isinstance(cfg, BaseModel):
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
            '`teacher.new_head` would give the teacher a random '
            'head: it is for students.'
        )
    if checkpoint and spec.weights:
        raise ValueError(
            f'`teacher_ckpt`={checkpoint!r} and the weights that `teacher` '
            f'names ({spec.weights!r}) exclude each other. Keep one.'
        )
    if checkpoint:
        spec.weights, spec.key = checkpoint, 'teacher_ckpt'
    if not spec.weights and not allow_random:
        raise ValueError(
            'The teacher has no weights: set `teacher_ckpt` to a checkpoint '
            'or `teacher.pretrained=True`. To distill from a random network on '
            'purpose, set `allow_random_teacher=True`.'
        )
    # A teacher takes nothing from the students' stream of random numbers.
    with torch.random.fork_rng(devices=[]):
        network = build_network(spec)
        if not spec.weights:
            check_pretrained_parts(network, 'model.teacher')
            network.init_weights()
    return network, InputAdapter(
        network.data_preprocessor if spec.data_preprocessor else None, size
    )
