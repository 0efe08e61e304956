# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, Callable, Dict, List, Sequence, Tuple

import torch
import torch.distributed as dist
from mmengine.device import get_device
from mmengine.dist import all_gather_object, get_rank, get_world_size
from torch.distributed.device_mesh import init_device_mesh

from mmdckd.errors import invalid

#: Name, shape and type of each tensor that a process sends.
Layout = Tuple[Tuple[Any, Tuple[int, ...], torch.dtype], ...]
#: The tensors of each of the C processes by name.
Gathered = List[Dict[Any, torch.Tensor]]


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

    def share(self, batch: Any) -> Any:
        """Return the part of a batch that this process computes for its peers.

        Args:
            batch (Tensor | Sequence): B rows.

        Returns:
            Tensor | Sequence: The rows from ``place`` ceil(B / C) on, at most
            ceil(B / C) of them; the last row if there are none.
        """
        rows = -(-len(batch) // self.size)
        start = min(self.place * rows, len(batch) - 1)
        return batch[start : start + rows]

    def gather_shares(self, own: Dict[Any, torch.Tensor], size: int) -> Callable:
        """Begin to exchange what was computed of shares of a batch.

        Args:
            own (Dict[Any, Tensor]): Tensors by name; the rows of each are those
                of :meth:`share`.
            size (int): B.

        Returns:
            Callable: Waits for the tensors of the batch, detached, and returns
            them by name.
        """
        rows = -(-size // self.size)
        padded = {
            name: torch.cat([x, x[-1:].expand(rows - len(x), *x.shape[1:])])
            for name, x in own.items()
        }
        wait = self.begin_gather(padded)

        def whole() -> Dict[Any, torch.Tensor]:
            parts = wait()
            return {name: torch.cat([x[name] for x in parts])[:size] for name in own}

        return whole

    def gather(self, own: Dict[Any, torch.Tensor], known: bool = True) -> Gathered:
        """Exchange tensors with the peers by one all-gather; see
        :meth:`begin_gather`."""
        return self.begin_gather(own, known)()

    def begin_gather(
        self, own: Dict[Any, torch.Tensor], known: bool = True
    ) -> Callable[[], Gathered]:
        """Begin to exchange tensors with the peers by one all-gather, which runs
        while this process continues.

        Names, shapes and types are exchanged when they are new. They must
        change in all processes at the same time.

        Args:
            own (Dict[Any, Tensor]): The tensors of this process by name.
            known (bool): Whether they do. If not, names, shapes and types are
                exchanged each time. Defaults to True.

        Returns:
            Callable: Waits for the tensors of each of the C processes, detached,
            and returns them by name.
        """
        if self.size == 1:
            alone = {name: tensor.detach() for name, tensor in own.items()}
            return lambda: [alone]
        layout: Layout = tuple(
            (name, tuple(tensor.shape), tensor.dtype) for name, tensor in own.items()
        )
        layouts = self._layouts.get(layout) if known else None
        if layouts is None:
            layouts = all_gather_object(layout, self.peers)
            self._layouts[layout] = layouts
        content = torch.cat([as_bytes(tensor) for tensor in own.values()])
        largest = max(map(_length, layouts))
        sent = content.new_zeros(largest)
        sent[: len(content)] = content
        received = [torch.empty_like(sent) for _ in layouts]
        work = dist.all_gather(received, sent, group=self.peers, async_op=True)

        def wait() -> Gathered:
            work.wait()
            return list(map(_unpack, layouts, received))

        return wait


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
