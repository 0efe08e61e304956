# Copyright (c) mmdckd contributors. All rights reserved.
"""Copy a batch to the GPU without blocking the host."""

from typing import Any, List, Optional, Tuple

import torch
from mmengine.model import BaseDataPreprocessor
from mmpretrain.structures import DataSample


def send_ahead(preprocessor: BaseDataPreprocessor, args: tuple) -> Optional[tuple]:
    """Copy images and labels to the device before the data preprocessor does.

    A forward pre-hook. MMPretrain's preprocessors copy synchronously, and so
    wait for all pending work of the previous step. These copies are
    asynchronous if the images are in pinned memory. The device runs in order,
    so everything after them sees the same values.

    Args:
        preprocessor (:obj:`BaseDataPreprocessor`): The preprocessor, which
            knows the device.
        args (tuple): Its arguments; the first is the batch of the dataloader.

    Returns:
        tuple, optional: The arguments on the device; None on the CPU, where
        there is nothing to copy.
    """
    device = preprocessor.device
    if device.type == 'cpu' or not args or not isinstance(args[0], dict):
        return None
    data = dict(args[0])
    if 'inputs' in data:
        data['inputs'] = _send(data['inputs'], device)
    samples = data.get('data_samples')
    if samples and all(isinstance(sample, DataSample) for sample in samples):
        for name in samples[0].keys():
            _send_field(samples, name, device)
    return (data, *args[1:])


def _send(inputs: Any, device: torch.device) -> Any:
    if isinstance(inputs, torch.Tensor):
        return inputs.to(device, non_blocking=True)
    if isinstance(inputs, (list, tuple)):
        return [_send(each, device) for each in inputs]
    return inputs


def _send_field(samples: List[DataSample], name: str, device: torch.device) -> None:
    """Copy one field of all samples, such as their labels, in one transfer."""
    values = [sample.get(name) for sample in samples]
    if not all(isinstance(value, torch.Tensor) for value in values):
        return
    together = torch.cat([value.flatten() for value in values])
    parts: Tuple[torch.Tensor, ...] = together.to(device, non_blocking=True).split(
        [value.numel() for value in values]
    )
    for sample, value, part in zip(samples, values, parts):
        sample.set_field(part.view(value.shape), name, dtype=torch.Tensor)
