# Copyright (c) mmdckd contributors. All rights reserved.
"""Copy a batch to a GPU without waiting for it."""
from typing import Any, List, Optional, Tuple

import torch
from mmengine.model import BaseDataPreprocessor
from mmpretrain.structures import DataSample


def send_ahead(preprocessor: BaseDataPreprocessor,
               args: tuple) -> Optional[tuple]:
    """Copy images and labels before a data preprocessor asks for them.

    A forward pre-hook. MMPretrain's preprocessors wait for the copies, and
    with them for all that the device has still to do for the step before.
    These copies do not wait, as long as the images are in pinned memory. The
    device does things in order, so all that follows sees the same values.

    Args:
        preprocessor (:obj:`BaseDataPreprocessor`): It knows the device.
        args (tuple): The batch first, as it comes from the dataloader.

    Returns:
        tuple, optional: The same, on the device; None on the CPU, where there
        is nothing to copy.
    """
    device = preprocessor.device
    if device.type == 'cpu' or not args or not isinstance(args[0], dict):
        return None
    data = dict(args[0])
    if 'inputs' in data:
        data['inputs'] = _send(data['inputs'], device)
    samples = data.get('data_samples')
    if samples and all(isinstance(sample, DataSample) for sample in samples):
        _send_field(samples, 'gt_label', device)
        _send_field(samples, 'gt_score', device)
    return (data, *args[1:])


def _send(inputs: Any, device: torch.device) -> Any:
    if isinstance(inputs, torch.Tensor):
        return inputs.to(device, non_blocking=True)
    if isinstance(inputs, (list, tuple)):
        return [_send(each, device) for each in inputs]
    return inputs


def _send_field(samples: List[DataSample], name: str,
                device: torch.device) -> None:
    """Copy a label of all samples at once."""
    if not all(name in sample for sample in samples):
        return
    values = [sample.get(name) for sample in samples]
    moved: Tuple[torch.Tensor, ...] = torch.cat(values).to(
        device, non_blocking=True).split([len(value) for value in values])
    for sample, value in zip(samples, moved):
        sample.set_field(value, name, dtype=torch.Tensor)
