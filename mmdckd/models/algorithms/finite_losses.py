# Copyright (c) mmdckd contributors. All rights reserved.
"""Which losses of a step are finite, and what is said where one is not."""

import math
from functools import reduce
from typing import Dict, List, Optional, Sequence, Tuple

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size
from mmengine.logging import MessageHub
from mmengine.structures import BaseDataElement

from mmdckd.names import is_loss, student_of


def look_at(
    losses: Dict[str, torch.Tensor],
) -> Tuple[Dict[str, torch.Tensor], Dict[str, bool]]:
    """Copy the mean of every entry to the CPU, and tell which are finite.

    All are in one copy: the host waits for the device once.

    Args:
        losses (Dict[str, Tensor | List[Tensor]]): Losses and statistics by
            name.

    Returns:
        tuple: The means on the CPU by name, without their graphs; and, of
        each entry that MMEngine trains, one with "loss" in its name, whether
        its mean is finite in every process.
    """
    if not losses:
        return {}, {}
    means = [_mean(value) for value in losses.values()]
    dtype = reduce(torch.promote_types, [mean.dtype for mean in means])
    stacked = torch.stack([mean.to(dtype) for mean in means])
    if get_world_size() > 1:
        finite = stacked.isfinite().int()
        all_reduce(finite, 'min')
        values, flags = torch.stack([stacked, finite.to(dtype)]).cpu()
    else:
        values = stacked.cpu()
        flags = values.isfinite()
    return dict(zip(losses, values.unbind())), {
        name: flag for name, flag in zip(losses, flags.bool().tolist()) if is_loss(name)
    }


def agreed(flags: torch.Tensor) -> List[bool]:
    """What is so in every process.

    Args:
        flags (Tensor): Booleans (K,).

    Returns:
        List[bool]: K of them, the same in every process.
    """
    if get_world_size() > 1:
        flags = flags.int()
        all_reduce(flags, 'min')
    return flags.bool().tolist()


def describe_losses(
    losses: Dict[str, torch.Tensor],
    causes: Sequence[Optional[str]],
    samples: Optional[Sequence[BaseDataElement]],
) -> str:
    """Say which losses of a step are not finite, when, and on which images.

    Every process calls it, and gets the same: what all have found.

    Args:
        losses (Dict[str, Tensor]): Losses by name.
        causes (Sequence[str]): The students that are the cause; None of a
            teacher.
        samples (Sequence[DataSample], optional): Those of the batch.
    """
    bad = {}
    for name, loss in losses.items():
        value = float(_mean(loss)) if is_loss(name) else 0.0
        if not math.isfinite(value):
            bad[name] = value
    found = all_gather_object((bad, _images(samples) if bad else []))
    terms = {name: value for bad, _ in found for name, value in bad.items()}
    images = [image for _, images in found for image in images]

    own = [name for name in terms if student_of(name) in causes]
    own = own or list(terms)
    listed = ', '.join(f'{name}={terms[name]}' for name in own)
    if len(own) < len(terms):
        listed += (
            f', and with it {len(terms) - len(own)} losses of those that learn from it'
        )
    hub = MessageHub.get_current_instance()
    step, epoch = hub.get_info('iter'), hub.get_info('epoch')
    when = '' if step is None else f' in iteration {step + 1}'
    if epoch is not None:
        when += f' (epoch {epoch + 1})'
    whose = ', '.join(cause or 'the teacher' for cause in causes)
    return (
        f'Not finite{when}: the loss of {whose}: {listed}. The images of '
        f'the batch: {", ".join(images)}.'
    )


def _mean(loss) -> torch.Tensor:
    """As MMEngine reduces a loss: a tensor, or a list of tensors."""
    if not isinstance(loss, torch.Tensor):
        return sum((_mean(each) for each in loss), torch.tensor(0.0))
    return (loss if loss.ndim == 0 else loss.mean()).detach()


def _images(samples: Optional[Sequence[BaseDataElement]]) -> List[str]:
    return [
        str(
            sample.get('img_path')
            or f'sample {sample.get("sample_idx", f"{i} of the batch")}'
        )
        for i, sample in enumerate(samples or [])
    ]
