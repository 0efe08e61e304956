# Copyright (c) mmdckd contributors. All rights reserved.
"""Whether what MMRazor's recorders are told to record can be recorded."""

import difflib

from mmrazor.models.distillers import BaseDistiller, ConfigurableDistiller
from mmrazor.models.task_modules import RecorderManager
from mmrazor.models.task_modules.recorder import (
    ModuleOutputsRecorder,
    ParameterRecorder,
)
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import nn

from ..tasks.heads import knowledge_of, why_not_the_head


def check_sources(recorders: RecorderManager, network: nn.Module, key: str) -> None:
    """Make sure that what is to be recorded exists; see :func:`check_source`.

    Args:
        recorders (RecorderManager): Recorders, not yet initialized.
        network (nn.Module): The network they will record.
        key (str): The config key of the recorders, for the message.
    """
    for name, recorder in recorders.recorders.items():
        check_source(recorder, network, f'{key}.{name}')


def check_source(recorder: BaseRecorder, network: nn.Module, key: str) -> None:
    """Make sure that what one recorder is to record exists.

    Args:
        recorder (BaseRecorder): The recorder, not yet initialized.
        network (nn.Module): The network it will record.
        key (str): The config key of the recorder, for the message.

    Raises:
        ValueError: If a module or parameter does not exist; the message names
            those whose names are nearest.
    """
    if isinstance(recorder, ModuleOutputsRecorder):
        kind, known = 'module', dict(network.named_modules())
    elif isinstance(recorder, ParameterRecorder):
        kind, known = 'parameter', dict(network.named_parameters())
    else:
        return
    source = recorder.source
    if not isinstance(source, str) or source not in known:
        near = difflib.get_close_matches(str(source), known, 5, 0.4)
        raise ValueError(
            f'Invalid `{key}.source`: expected a {kind} of the '
            f'{type(network).__name__}, got {source!r}. Near: '
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
    """Check every recorder of a network that trains; see
    :func:`check_margin`.

    Args:
        recorders (RecorderManager): The recorders.
        network (nn.Module): The network.
        key (str): The config key of the recorders, for the message.
    """
    for name, recorder in recorders.recorders.items():
        check_margin(recorder, network, f'{key}.{name}')


def check_margin(recorder: BaseRecorder, network: nn.Module, key: str) -> None:
    """Make sure that no loss takes what a head returns in training for what
    it learns with.

    Args:
        recorder (BaseRecorder): A recorder of a network that trains.
        network (nn.Module): The network.
        key (str): The config key of the recorder, for the message.

    Raises:
        ValueError: If it records the output of such a head.
    """
    if not isinstance(recorder, ModuleOutputsRecorder) or recorder.source != 'head':
        return
    why = why_not_the_head(network)
    if why is not None:
        raise ValueError(
            f'Invalid `{key}.source`: expected a module whose output is learned '
            f"from, got 'head', a {type(network.head).__name__}, {why}. Did you "
            f'mean {knowledge_of(network, key).source!r}?'
        )
