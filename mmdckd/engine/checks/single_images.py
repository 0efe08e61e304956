# Copyright (c) mmdckd contributors. All rights reserved.
from typing import List

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_world_size
from torch import Tensor, nn
from torch.utils.data import DataLoader


def has_single_image(dataloader: DataLoader) -> bool:
    """Return whether the last batch of a pass over the data is one image.

    Args:
        dataloader (DataLoader): The data loader. The answer is False if its
            batch sampler does not tell the batch size.
    """
    batches = dataloader.batch_sampler
    size = getattr(batches, 'batch_size', None)
    sampler = getattr(batches, 'sampler', None)
    if size in (None, 1) or sampler is None or isinstance(sampler, InfiniteSampler):
        return size == 1
    return not getattr(batches, 'drop_last', False) and len(sampler) % size == 1


def check_single_images(model: nn.Module, dataloader: DataLoader) -> List:
    """Check, during the first forward pass, that a batch of one image works.

    A BatchNorm layer that sees one value per channel cannot be trained. PyTorch
    would raise an error only at the end of the first epoch.

    Args:
        model (nn.Module): The model, about to be trained.
        dataloader (DataLoader): The data loader of the training.

    Returns:
        List[RemovableHandle]: Hooks of the model, to be removed after the first
        step. They raise a ValueError if a layer would fail.
    """
    if not has_single_image(dataloader):
        return []
    names = {module: name for name, module in model.named_modules()}

    def check(module: nn.Module, inputs: tuple) -> None:
        x: Tensor = inputs[0]
        values = x.numel() // (x.shape[0] * x.shape[1])
        if module.training and values == 1:
            raise ValueError(
                'Invalid `train_dataloader.batch_size`: expected batches of at '
                f'least two images for `{names[module]}` (BatchNorm), got a last '
                'batch of one. Set `train_dataloader.drop_last=True` or another '
                'batch size.'
            )

    return [
        module.register_forward_pre_hook(check)
        for module in names
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
        and not (isinstance(module, nn.SyncBatchNorm) and get_world_size() > 1)
    ]
