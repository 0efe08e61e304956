# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, Dict, List, Sequence, Tuple

import torch
import torch.distributed as dist
from mmengine.device import get_device
from mmengine.dist import all_gather_object, get_rank, get_world_size
from torch.distributed.device_mesh import init_device_mesh

from mmdckd.errors import invalid

#: Name, shape and type of each tensor that a process sends.
Layout = Tuple[Tuple[Any, Tuple[int, ...], torch.dtype], ...]


class CohortMesh:
    """A mesh of processes that hold different students of a cohort.

    The mesh has two dimensions: cohort and data. W processes form C groups of
    consecutive ranks, where C is the smaller of W and the number of students N.
    Each group holds N / C students, and each of its W / C processes sees its
    share of the images. The C processes with the same position in their groups
    are peers: they see the same images and exchange logits.

    All processes must create it.

    Args:
        names (Sequence[str]): The names of the N students.

    Attributes:
        held (List[str]): The students that this process holds.
        size (int): C.
        place (int): The index of this process among its peers.
        peers (ProcessGroup): The C processes that see the same images, in the
            order of their students.
        data (ProcessGroup): The W / C processes that hold the same students.

    Raises:
        ValueError: If neither N is a multiple of W nor W of N.
    """

    def __init__(self, names: Sequence[str]) -> None:
        world, number = get_world_size(), len(names)
        if world % number and number % world:
            raise invalid(
                'model.parallel',
                "'data', or a number of processes that is a multiple or a divisor "
                f'of the number of students, for {number} students in {world} '
                'processes',
                'cohort',
            )
        self.size = min(number, world)
        mesh = init_device_mesh(
            get_device(),
            (self.size, world // self.size),
            mesh_dim_names=('cohort', 'data'),
        )
        self.place = mesh.get_local_rank('cohort')
        self.peers = mesh.get_group('cohort')
        self.data = mesh.get_group('data')
        each = number // self.size
        self.held: List[str] = list(names)[self.place * each :][:each]
        self._layouts: Dict[Layout, List[Layout]] = {}

    def __deepcopy__(self, memo: dict) -> 'CohortMesh':
        """Share the mesh with copies of the model, such as an EMA."""
        return self

    @property
    def saves(self) -> bool:
        """bool: Whether rank 0, which writes checkpoints, is this process or one
        of its peers."""
        return get_rank() % (get_world_size() // self.size) == 0

    def share(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the part of a batch that this process computes for its peers.

        Args:
            batch (Tensor): (B, ...).

        Returns:
            Tensor: The part number ``place`` of C, ceil(B / C) rows. The last
            row is repeated if there are too few; the first B rows of all parts
            together are the batch.
        """
        rows = -(-len(batch) // self.size)
        wanted = torch.arange(rows, device=batch.device) + self.place * rows
        return batch[wanted.clamp(max=len(batch) - 1)]

    def gather(self, own: Dict[Any, torch.Tensor]) -> List[Dict[Any, torch.Tensor]]:
        """Exchange tensors with the peers by one all-gather.

        Names, shapes and types are exchanged when they are new. They must
        change in all processes at the same time.

        Args:
            own (Dict[Any, Tensor]): The tensors of this process by name.

        Returns:
            List[Dict[Any, Tensor]]: The tensors of each of the C processes,
            detached, by name.
        """
        if self.size == 1:
            return [{name: tensor.detach() for name, tensor in own.items()}]
        layout: Layout = tuple(
            (name, tuple(tensor.shape), tensor.dtype) for name, tensor in own.items()
        )
        if layout not in self._layouts:
            self._layouts[layout] = all_gather_object(layout, self.peers)
        layouts = self._layouts[layout]
        content = torch.cat([as_bytes(tensor) for tensor in own.values()])
        largest = max(map(_length, layouts))
        sent = content.new_zeros(largest)
        sent[: len(content)] = content
        received = [torch.empty_like(sent) for _ in layouts]
        dist.all_gather(received, sent, group=self.peers)
        return list(map(_unpack, layouts, received))


def as_bytes(tensor: torch.Tensor) -> torch.Tensor:
    """View a tensor as bytes, which every backend sends."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def _length(layout: Layout) -> int:
    return sum(_size(shape, dtype) for _, shape, dtype in layout)


def _size(shape: Tuple[int, ...], dtype: torch.dtype) -> int:
    return torch.Size(shape).numel() * dtype.itemsize


def _unpack(layout: Layout, content: torch.Tensor) -> Dict[Any, torch.Tensor]:
    sizes = [_size(shape, dtype) for _, shape, dtype in layout]
    parts = content[: sum(sizes)].split(sizes)
    return {
        # A copy is aligned as its type requires.
        name: part.clone().view(dtype).reshape(shape)
        for (name, shape, dtype), part in zip(layout, parts)
    }
