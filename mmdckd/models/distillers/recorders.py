"""MMRazor's recorders, with an error that helps when a source is wrong."""
import difflib
from typing import Dict, Optional

import torch
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmpretrain.models.heads import ConformerHead
from mmrazor.models.distillers import BaseDistiller, ConfigurableDistiller
from mmrazor.models.task_modules import RecorderManager
from mmrazor.models.task_modules.recorder import (ModuleOutputsRecorder,
                                                  ParameterRecorder)
from torch import nn


def check_sources(recorders: RecorderManager, network: nn.Module,
                  key: str) -> None:
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
                f'{", ".join(near) or "nothing"}.')


def returns_logits(distiller: BaseDistiller) -> bool:
    """Tell whether a distiller of MMRazor sees nothing but the logits.

    Args:
        distiller (:obj:`BaseDistiller`): The distiller.
    """
    if type(distiller) is not ConfigurableDistiller:
        return False
    recorders = [
        *distiller.student_recorders.recorders.values(),
        *distiller.teacher_recorders.recorders.values()
    ]
    return not distiller.deliveries.deliveries and all(
        type(recorder) is ModuleOutputsRecorder and recorder.source in
        ('head', 'head.fc') for recorder in recorders)


class LogitsRecorder:
    """Records the logits of one network while it runs.

    Nearly every MMPretrain classifier calls its head as a module in all
    modes, and what the head returns are the logits; a classifier without a
    head returns them from its ``model``.

    Args:
        network (:obj:`BaseModel`): The network.
        cfg (dict, optional): A recorder config of MMRazor that says
            otherwise, e.g. ``dict(type='ModuleOutputs', source='head.fc')``;
            ``data_idx`` picks one item of a tuple. Defaults to None.
        key (str): The config key of ``cfg``, for the messages.

    Raises:
        ValueError: If the source does not exist.
    """

    def __init__(self, network: BaseModel, cfg: Optional[Dict],
                 key: str) -> None:
        if cfg is None:
            source = 'head' if getattr(network, 'head', None) else 'model'
            cfg = dict(type='ModuleOutputs', source=source)
        cfg = dict(cfg)
        self._key = key
        self._sums = isinstance(getattr(network, 'head', None), ConformerHead)
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
            the mean of their logits, or their sum where its head predicts
            from that (Conformer).

        Raises:
            TypeError: If what was recorded are no logits.
        """
        recorder = self._recorders.get_recorder('logits')
        output = recorder.get_record_data(data_idx=self._data_idx)
        recorder.reset_data_buffer()
        output = getattr(output, 'logits', output)
        if isinstance(output, (tuple, list)) and output and all(
                _is_logits(item) and item.shape == output[0].shape
                for item in output):
            output = torch.stack(tuple(output))
            output = output.sum(0) if self._sums else output.mean(0)
        if not _is_logits(output):
            raise TypeError(
                f'`{self._key}`: {recorder.source!r} gave '
                f'{_describe(output)}, but logits of shape (B, C) are needed. '
                'Name the module that returns them, e.g. '
                "dict(type='ModuleOutputs', source='head.fc').")
        return output


def _is_logits(output) -> bool:
    return isinstance(output, torch.Tensor) and output.ndim == 2


def _describe(output) -> str:
    if isinstance(output, torch.Tensor):
        return f'a tensor of shape {tuple(output.shape)}'
    if isinstance(output, (tuple, list)):
        return f'({", ".join(_describe(item) for item in output)})'
    return f'a {type(output).__name__}'
