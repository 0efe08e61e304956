# Copyright (c) mmdckd contributors. All rights reserved.
"""Iterations of a resumed run whose batches have another size."""

from typing import Dict, List

from mmengine.dist import get_world_size
from mmengine.logging import MessageHub
from mmengine.runner import EpochBasedTrainLoop

from .loops.exact_train_loops import ExactTrainLoop
from .rescheduling import epoch_length
from .resumed_settings import EPOCH_LENGTH, Difference


def batches_of(loop: ExactTrainLoop) -> Dict[str, int]:
    """Return what an iteration of a run is, for its checkpoints.

    Args:
        loop (ExactTrainLoop): The loop of the run.

    Returns:
        Dict[str, int]: ``batch_size``, over all processes, ``world_size`` and
        ``epoch_length``, the iterations of an epoch.
    """
    return dict(
        batch_size=loop.batches.total_batch_size,
        world_size=get_world_size(),
        epoch_length=len(loop.dataloader),
    )


def recorded_batches(meta: dict, loop: ExactTrainLoop) -> Dict[str, int]:
    """Return what an iteration was in the run that is resumed.

    Args:
        meta (dict): The metadata of its checkpoint. If it is older than
            ``batches``, the length of an epoch is estimated.
        loop (ExactTrainLoop): The loop of the run that resumes it.

    Returns:
        Dict[str, int]: As of :func:`batches_of`, or a part of it.
    """
    if 'batches' in meta:
        return meta['batches']
    if not isinstance(loop, EpochBasedTrainLoop):
        return {}
    length = epoch_length(meta['epoch'], meta['iter'], len(loop.dataloader))
    return dict(epoch_length=length)


def compare_batches(
    before: Dict[str, int], now: Dict[str, int], scales_lr: bool
) -> List[Difference]:
    """Compare the iterations of two runs.

    Args:
        before (Dict[str, int]): Those of the run that is resumed.
        now (Dict[str, int]): Those of the run that resumes it.
        scales_lr (bool): Whether ``auto_scale_lr`` is enabled.

    Returns:
        List[Difference]: What differs.
    """
    names = dict(world_size='number of processes', epoch_length=EPOCH_LENGTH)
    if scales_lr:
        names['batch_size'] = 'auto_scale_lr (batch size of all processes)'
    return [
        Difference(name, before[key], now[key])
        for key, name in names.items()
        if before.get(key, now[key]) != now[key]
    ]


def renumber(checkpoint: dict, loop: ExactTrainLoop, length: int) -> None:
    """Count the iterations of a checkpoint as if all epochs had had the length
    that they have now.

    Everything that depends on an iteration, such as learning rates and the start
    of averaging, then happens in the same epoch as in a run from the start.

    Args:
        checkpoint (dict): The checkpoint, changed in place.
        loop (ExactTrainLoop): The loop of the run that resumes it, by epochs.
        length (int): The iterations of an epoch in the run that is resumed.
    """
    meta, hub = checkpoint['meta'], checkpoint['message_hub']
    position, rest = meta.get('position') or {}, 0
    if position.get('epoch') == meta['epoch']:
        rest = loop.batches.count_before(meta['epoch'], position['samples'])
    new = len(loop.dataloader)
    before, meta['iter'] = meta['iter'], meta['epoch'] * new + rest
    info = hub.runtime_info if isinstance(hub, MessageHub) else hub['runtime_info']
    # The validations so far, by `ExactResumeHook` and `CollectiveValLoop`.
    for entry, key in (
        (info, 'last_val_iter'),
        (info.get('best_student_by') or {}, 'iter'),
    ):
        time = entry.get(key)
        if time is not None:
            entry[key] = meta['iter'] if time == before else round(time * new / length)
