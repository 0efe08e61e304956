# Copyright (c) mmdckd contributors. All rights reserved.
"""MMRazor's recorders, with an error that helps when a source is wrong."""

import difflib
from functools import partial
from typing import Any, Callable, Dict, Optional

import torch
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmrazor.models.distillers import BaseDistiller, ConfigurableDistiller
from mmrazor.models.task_modules import RecorderManager
from mmrazor.models.task_modules.recorder import (
    ModuleOutputsRecorder,
    ParameterRecorder,
)
from torch import nn

from ..tasks.heads import has_margin, knowledge_of

#: What stands for the scores of a network, whatever its head returns.
HEAD = dict(type='ModuleOutputs', source='head')


def check_sources(recorders: RecorderManager, network: nn.Module, key: str) -> None:
    """Make sure that what is to be recorded exists.

    Args:
        recorders (RecorderManager): Recorders, not yet initialised.
        network (nn.Module): The network they will record.
        key (str): The config key of the recorders, for the message.

    Raises:
        ValueError: If a module or parameter does not exist; the message names
            those whose names are nearest.
    """
    for name, recorder in recorders.recorders.items():
        if isinstance(recorder, ModuleOutputsRecorder):
            kind, known = 'module', dict(network.named_modules())
        elif isinstance(recorder, ParameterRecorder):
            kind, known = 'parameter', dict(network.named_parameters())
        else:
            continue
        source = recorder.source
        if not isinstance(source, str) or source not in known:
            near = difflib.get_close_matches(str(source), known, 5, 0.4)
            raise ValueError(
                f'`{key}.{name}.source`={recorder.source!r} is no {kind} of '
                f'the {type(network).__name__}. Near: '
                f'{", ".join(near) or "nothing"}.'
            )


def returns_logits(distiller: BaseDistiller) -> bool:
    """Tell whether a distiller of MMRazor sees nothing but the logits.

    Args:
        distiller (:obj:`BaseDistiller`): The distiller.
    """
    if type(distiller) is not ConfigurableDistiller:
        return False
    recorders = [
        *distiller.student_recorders.recorders.values(),
        *distiller.teacher_recorders.recorders.values(),
    ]
    return not distiller.deliveries.deliveries and all(
        type(recorder) is ModuleOutputsRecorder
        and recorder.source in ('head', 'head.fc')
        for recorder in recorders
    )


def check_margins(recorders: RecorderManager, network: nn.Module, key: str) -> None:
    """Make sure that no loss takes what a head returns in training for what
    it predicts with.

    Args:
        recorders (RecorderManager): The recorders of a network that trains.
        network (nn.Module): The network.
        key (str): The config key of the recorders, for the message.

    Raises:
        ValueError: If one records the output of such a head.
    """
    head = getattr(network, 'head', None)
    for name, recorder in recorders.recorders.items():
        if (
            isinstance(recorder, ModuleOutputsRecorder)
            and recorder.source == 'head'
            and has_margin(head)
        ):
            raise ValueError(
                f'Invalid `{key}.{name}.source`: expected scores without '
                f"margins, got 'head', a {type(head).__name__}, whose output "
                'in training has the margin of the label in it. Did you mean '
                f'{knowledge_of(network, key).source!r}?'
            )


def _as_they_are(output):
    return output


class LogitsRecorder:
    """Records the logits of one network while it runs.

    They are the scores that its head predicts with, see
    :func:`~mmdckd.models.tasks.heads.knowledge_of`: what the head returns,
    for nearly every classifier of MMPretrain.

    Args:
        network (:obj:`BaseModel`): The network.
        cfg (dict, optional): A recorder config of MMRazor that says
            otherwise, e.g. ``dict(type='ModuleOutputs', source='head.fc')``;
            ``data_idx`` picks one item of a tuple. Defaults to None; the
            output of ``head`` says the same.
        key (str): The config key of ``cfg``, for the messages.

    Raises:
        ValueError: If the source does not exist, or the head predicts no
            classes of one task.
    """

    def __init__(self, network: BaseModel, cfg: Optional[Dict], key: str) -> None:
        self._key = key
        self._scores: Callable[[Any], Any] = _as_they_are
        if cfg is None or dict(cfg) == HEAD and hasattr(network, 'head'):
            knowledge = knowledge_of(network, key)
            cfg = dict(type='ModuleOutputs', source=knowledge.source)
            self._scores = partial(knowledge.scores, getattr(network, 'head', None))
        cfg = dict(cfg)
        self._data_idx = cfg.pop('data_idx', None)
        with DefaultScope.overwrite_default_scope('mmdckd'):
            self._recorders = RecorderManager({'logits': cfg})
        check_sources(self._recorders, network, key)
        self._recorders.initialize(network)

    def __enter__(self) -> None:
        self._recorders.__enter__()

    def __exit__(self, *exc_info) -> None:
        self._recorders.__exit__(*exc_info)

    def pop(self) -> torch.Tensor:
        """Take out what was recorded, so that no graph is kept.

        Returns:
            Tensor: Logits (B, C). Where a network has several classifiers,
            the mean of their logits, if its head does not say otherwise.

        Raises:
            TypeError: If what was recorded are no logits.
        """
        recorder = self._recorders.get_recorder('logits')
        output = recorder.get_record_data(data_idx=self._data_idx)
        recorder.reset_data_buffer()
        output = self._scores(getattr(output, 'logits', output))
        if (
            isinstance(output, (tuple, list))
            and output
            and all(
                _is_logits(item) and item.shape == output[0].shape for item in output
            )
        ):
            output = torch.stack(tuple(output)).mean(0)
        if not _is_logits(output):
            raise TypeError(
                f'`{self._key}`: {recorder.source!r} gave '
                f'{_describe(output)}, but logits of shape (B, C) are needed. '
                'Name the module that returns them, e.g. '
                "dict(type='ModuleOutputs', source='head.fc')."
            )
        return output


def _is_logits(output) -> bool:
    return isinstance(output, torch.Tensor) and output.ndim == 2


def _describe(output) -> str:
    if isinstance(output, torch.Tensor):
        return f'a tensor of shape {tuple(output.shape)}'
    if isinstance(output, (tuple, list)):
        return f'({", ".join(_describe(item) for item in output)})'
    return f'a {type(output).__name__}'
