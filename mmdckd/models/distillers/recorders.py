# Copyright (c) mmdckd contributors. All rights reserved.
"""Record the inputs of collective losses while a member runs."""

from abc import ABCMeta, abstractmethod
from functools import partial
from typing import Any, Callable, Dict, Mapping, Optional

import torch
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from mmrazor.models.task_modules import RecorderManager

from mmdckd.errors import invalid

from ..tasks.heads import knowledge_of
from .recorder_checks import check_source

#: The records of a member, by recorder.
Tensors = Dict[str, torch.Tensor]

#: The source that stands for a network's scores, whatever its head returns.
HEAD = dict(type='ModuleOutputs', source='head')


class TensorRecorder(metaclass=ABCMeta):
    """Records one tensor of a network while the network runs in its context.

    Args:
        network (:obj:`BaseModel`): The network.
        cfg (dict): A recorder config of MMRazor, e.g.
            ``dict(type='ModuleOutputs', source='backbone.layer4')``;
            ``data_idx`` selects one item of a tuple.
        key (str): The config key of ``cfg``, for error messages.

    Raises:
        ValueError: If ``cfg`` is not a recorder's, or the source does not exist.
    """

    def __init__(self, network: BaseModel, cfg: Dict, key: str) -> None:
        self._key = key
        if not isinstance(cfg, dict) or 'type' not in cfg:
            expected = (
                "a recorder, such as dict(type='ModuleOutputs', source='head.fc')"
            )
            raise invalid(key, expected, cfg)
        cfg = dict(cfg)
        self._data_idx = cfg.pop('data_idx', None)
        with DefaultScope.overwrite_default_scope('mmdckd'):
            manager = RecorderManager(dict(one=cfg))
        self.recorder = manager.get_recorder('one')
        check_source(self.recorder, network, key)
        manager.initialize(network)

    def __enter__(self) -> None:
        self.recorder.__enter__()

    def __exit__(self, *exc_info) -> None:
        self.recorder.__exit__(*exc_info)

    def pop(self) -> torch.Tensor:
        """Remove and return the record, so that its autograd graph is freed.

        Raises:
            ValueError: If nothing was recorded.
            TypeError: If the record is not a tensor of the right kind.
        """
        if not self.recorder.data_buffer:
            raise ValueError(
                f'Invalid `{self._key}.source`: expected a module that runs in the '
                f'forward pass, got {self.recorder.source!r}, which did not run.'
            )
        output = self.recorder.get_record_data(data_idx=self._data_idx)
        self.recorder.reset_data_buffer()
        return self._tensor(output)

    @abstractmethod
    def _tensor(self, output: Any) -> torch.Tensor:
        """Convert the recorded output to a tensor."""


class LogitsRecorder(TensorRecorder):
    """Records the logits (B, C) of one network.

    By default these are the scores from which the head predicts, see
    :func:`~mmdckd.models.tasks.heads.knowledge_of`: the output of the head, for
    nearly every classifier of MMPretrain. If a network has several classifiers,
    their logits are averaged unless its head combines them differently.

    Args:
        network (:obj:`BaseModel`): The network.
        cfg (dict, optional): A recorder config of another source, e.g.
            ``dict(type='ModuleOutputs', source='head.fc')``. Defaults to None:
            the scores of the head.
        key (str): The config key of ``cfg``, for error messages.

    Raises:
        ValueError: If the source does not exist, or the head does not predict
            the classes of a single task.
    """

    def __init__(self, network: BaseModel, cfg: Optional[Dict], key: str) -> None:
        self._scores: Callable[[Any], Any] = _as_they_are
        if cfg is None or cfg == HEAD and hasattr(network, 'head'):
            knowledge = knowledge_of(network, key)
            cfg = dict(type='ModuleOutputs', source=knowledge.source)
            self._scores = partial(knowledge.scores, getattr(network, 'head', None))
        super().__init__(network, cfg, key)

    def _tensor(self, output: Any) -> torch.Tensor:
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
                f'Invalid `{self._key}.source`: expected a module that returns '
                f"logits of shape (B, C), such as 'head.fc', got "
                f'{self.recorder.source!r}, which returned {_describe(output)}.'
            )
        return output


class FeatureRecorder(TensorRecorder):
    """Records a feature (B, ...) of one network.

    A feature is a floating-point tensor; of a tuple, the last item is used, as
    MMPretrain's heads do.
    """

    def _tensor(self, output: Any) -> torch.Tensor:
        feature = output
        while isinstance(feature, (tuple, list)) and feature:
            feature = feature[-1]
        if not isinstance(feature, torch.Tensor) or not feature.is_floating_point():
            raise TypeError(
                f'Invalid `{self._key}.source`: expected a module that returns a '
                f'floating-point tensor, got {self.recorder.source!r}, which '
                f'returned {_describe(output)}.'
            )
        return feature


class MemberRecorder:
    """Records several tensors of one member, by name.

    Args:
        recorders (Dict[str, TensorRecorder]): Name to recorder.
    """

    def __init__(self, recorders: Mapping[str, TensorRecorder]) -> None:
        self.recorders = dict(recorders)

    def __enter__(self) -> None:
        for recorder in self.recorders.values():
            recorder.__enter__()

    def __exit__(self, *exc_info) -> None:
        for recorder in reversed(self.recorders.values()):
            recorder.__exit__(*exc_info)

    def pop(self) -> Tensors:
        """Remove and return the records by name, so that their autograd graph is
        freed."""
        return {name: recorder.pop() for name, recorder in self.recorders.items()}


def _as_they_are(output):
    return output


def _is_logits(output) -> bool:
    return isinstance(output, torch.Tensor) and output.ndim == 2


def _describe(output) -> str:
    if isinstance(output, torch.Tensor):
        return f'a tensor of shape {tuple(output.shape)}'
    if isinstance(output, (tuple, list)):
        return f'({", ".join(_describe(item) for item in output)})'
    return f'a {type(output).__name__}'
