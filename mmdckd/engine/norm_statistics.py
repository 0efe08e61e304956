# Copyright (c) mmdckd contributors. All rights reserved.
"""Recomputes BatchNorm statistics of networks whose weights did not result
directly from training, such as averages."""

from typing import Iterator, List, Optional, Sequence

import torch
from mmengine.dist import all_reduce, get_dist_info
from torch import nn
from torch.distributed import ProcessGroup
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

from .loops.seeded_batches import SeededIndices
from .randomness import Draw, seed_all, unchanged_randomness


def norm_layers(networks: Sequence[nn.Module]) -> List[_BatchNorm]:
    """Return the BatchNorm layers of networks that track statistics.

    Args:
        networks (Sequence[nn.Module]): The networks.
    """
    return [
        layer
        for network in networks
        for layer in network.modules()
        if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]


@torch.no_grad()
def measure_statistics(
    networks: Sequence[nn.Module],
    data_preprocessor: nn.Module,
    loader: DataLoader,
    num_images: int,
    seed: int,
    group: Optional[ProcessGroup] = None,
) -> None:
    """Measure the BatchNorm statistics of networks on training images.

    They become the mean over batches of the batch statistics. The images and
    their augmentation depend only on the seed, so the same weights always get
    the same statistics; the random state of the training is preserved. Layers
    that a network keeps in ``eval`` mode during training keep their statistics.
    With several processes, all must call it; each takes its share.

    Args:
        networks (Sequence[nn.Module]): The networks (MMPretrain classifiers).
        data_preprocessor (nn.Module): Their data preprocessor; if it returns
            one view per network, each network sees its own.
        loader (DataLoader): The data loader of the training; it is not
            iterated.
        num_images (int): The number of images to use, at most all.
        seed (int): The seed of the run.
        group (ProcessGroup, optional): The processes that hold the networks.
            Defaults to None, all.
    """
    training = [network.training for network in networks]
    for network in networks:
        network.train()
    layers = [layer for layer in norm_layers(networks) if layer.training]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a mean over all batches
    if layers:
        with unchanged_randomness():
            for index, data in enumerate(_batches(loader, num_images, seed, group)):
                seed_all(seed, Draw.STATISTICS, index)
                inputs = data_preprocessor(data, True)['inputs']
                if isinstance(inputs, torch.Tensor):
                    inputs = [inputs] * len(networks)
                for network, view in zip(networks, inputs):
                    network(view, mode='tensor')
    _, world_size = get_dist_info(group)
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum
        for statistic in (layer.running_mean, layer.running_var):
            all_reduce(statistic, group=group)
            statistic /= world_size
    for network, mode in zip(networks, training):
        network.train(mode)


def _batches(
    loader: DataLoader, num_images: int, seed: int, group: Optional[ProcessGroup]
) -> Iterator[dict]:
    """Return batches of fixed training images, the share of this process."""
    rank, world_size = get_dist_info(group)
    generator = torch.Generator().manual_seed(seed)
    number_of_all = len(loader.dataset)  # type: ignore[arg-type]
    order = torch.randperm(number_of_all, generator=generator)
    size = loader.batch_size or 64
    batches = [
        SeededIndices(indices.tolist(), seed, 0, range(number * size, number_of_all))
        for number, indices in enumerate(order[:num_images].split(size))
    ]
    # An incomplete batch would weigh as much as a full one.
    if len(batches) > 1 and len(batches[-1]) < size:
        batches.pop()
    share = [
        batches[(rank + step) % len(batches)]
        for step in range(0, len(batches), world_size)
    ]
    # Not the loader itself, which may be in the middle of an epoch.
    return iter(
        DataLoader(
            loader.dataset,
            batch_sampler=share,  # type: ignore[arg-type]
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
        )
    )
