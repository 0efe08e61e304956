# Copyright (c) mmdckd contributors. All rights reserved.
"""Check that MMRazor's recorders can record their sources."""

from mmrazor.models.distillers import BaseDistiller, ConfigurableDistiller
from mmrazor.models.task_modules import RecorderManager
from mmrazor.models.task_modules.recorder import (
    ModuleOutputsRecorder,
    ParameterRecorder,
)
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import nn

from mmdckd.errors import did_you_mean, invalid

from ..tasks.heads import knowledge_of, why_not_the_head


def check_sources(recorders: RecorderManager, network: nn.Module, key: str) -> None:
    """Check that the sources of all recorders exist; see :func:`check_source`.

    Args:
        recorders (RecorderManager): Recorders, not yet initialized.
        network (nn.Module): The network to record.
        key (str): The config key of the recorders, for error messages.
    """
    for name, recorder in recorders.recorders.items():
        check_source(recorder, network, f'{key}.{name}')


def check_source(recorder: BaseRecorder, network: nn.Module, key: str) -> None:
    """Check that the source of a recorder exists.

    Args:
        recorder (BaseRecorder): The recorder, not yet initialized.
        network (nn.Module): The network to record.
        key (str): The config key of the recorder, for error messages.

    Raises:
        ValueError: If the module or parameter does not exist; the message
            suggests those with the closest names.
    """
    if isinstance(recorder, ModuleOutputsRecorder):
        kind, known = 'module', dict(network.named_modules())
    elif isinstance(recorder, ParameterRecorder):
        kind, known = 'parameter', dict(network.named_parameters())
    else:
        return
    source = recorder.source
    if not isinstance(source, str) or source not in known:
        raise invalid(
            f'{key}.source',
            f'a {kind} of the {type(network).__name__}',
            source,
            did_you_mean(source, known, 3),
        )


def returns_logits(distiller: BaseDistiller) -> bool:
    """Tell whether a distiller of MMRazor records only logits.

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


def trains(network: nn.Module) -> bool:
    """Tell whether a network is trained, unlike a frozen teacher.

    Args:
        network (nn.Module): The network.
    """
    return any(parameter.requires_grad for parameter in network.parameters())


def check_margins(recorders: RecorderManager, network: nn.Module, key: str) -> None:
    """Check all recorders of a network in training mode; see
    :func:`check_margin`.

    Args:
        recorders (RecorderManager): The recorders.
        network (nn.Module): The network.
        key (str): The config key of the recorders, for error messages.
    """
    for name, recorder in recorders.recorders.items():
        check_margin(recorder, network, f'{key}.{name}')


def check_margin(recorder: BaseRecorder, network: nn.Module, key: str) -> None:
    """Check that a recorder does not record a head whose output in training
    mode is not its prediction, for example because it includes a margin.

    Args:
        recorder (BaseRecorder): A recorder of a network in training mode.
        network (nn.Module): The network.
        key (str): The config key of the recorder, for error messages.

    Raises:
        ValueError: If it records the output of such a head.
    """
    if not isinstance(recorder, ModuleOutputsRecorder) or recorder.source != 'head':
        return
    why = why_not_the_head(network)
    if why is not None:
        raise ValueError(
            f'Invalid `{key}.source`: expected a module that returns the prediction, '
            f"got 'head', a {type(network.head).__name__}, {why}. Did you "
            f'mean {knowledge_of(network, key).source!r}?'
        )
