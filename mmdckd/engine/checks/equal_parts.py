# Copyright (c) mmdckd contributors. All rights reserved.
from mmengine.dist import all_gather_object
from torch.utils.data import DataLoader, IterableDataset


def check_equal_parts(dataloader: DataLoader) -> None:
    """Check that no process of a run has more batches or images than another one.

    It would wait forever for the others at the end of an epoch, or train on images
    that these have too.

    Args:
        dataloader (DataLoader): The data loader of the training. All processes must
            call it.

    Raises:
        ValueError: If the number of images or batches differs; in all processes.
    """
    own = None
    if not isinstance(dataloader.dataset, IterableDataset):
        own = len(dataloader.dataset), len(dataloader)  # type: ignore[arg-type]
    each = all_gather_object(own)
    if len(set(each)) > 1:
        found = ', '.join(
            f'{counts[1]} of {counts[0]} images' if counts else 'an unknown number'
            for counts in each
        )
        raise ValueError(
            'Invalid `train_dataloader`: expected the same number of batches, of as '
            f'many images, in every process, got {found}. Set '
            '`train_dataloader.sampler.round_up=True`, and give every process the same '
            'images.'
        )
