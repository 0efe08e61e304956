# Copyright (c) mmdckd contributors. All rights reserved.
"""Activation checkpointing of whole students."""

from contextlib import contextmanager, nullcontext
from typing import Any, Callable, Dict, Iterator

from mmengine.model import BaseModel
from torch.utils.checkpoint import checkpoint

from .buffer_snapshot import BufferSnapshot


class Recomputation:
    """Runs students so that the backward pass recomputes their activations.

    The forward pass keeps only a student's inputs, outputs and recorded
    features. The backward pass runs each student once more, one after the
    other, so that only one student's activations are in memory at a time. The
    cost is a second forward pass of every student.

    The second pass draws the same random numbers from torch (dropout, drop
    path), and does not change buffers such as the statistics of BatchNorm
    layers. Recorders do not see it.

    It is built on :func:`torch.utils.checkpoint.checkpoint`.

    Args:
        students (Dict[str, BaseModel]): Name to network.
    """

    def __init__(self, students: Dict[str, BaseModel]) -> None:
        self._snapshots = {
            name: BufferSnapshot(student) for name, student in students.items()
        }

    def __call__(self, name: str, run: Callable, *args: Any) -> Any:
        """Run a student.

        Args:
            name (str): Its name.
            run (Callable): Runs its network.
            *args: The arguments of ``run``.

        Returns:
            Any: What ``run`` returns.
        """
        return checkpoint(
            run,
            *args,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), self._keep_buffers(name)),
        )

    @contextmanager
    def _keep_buffers(self, name: str) -> Iterator[None]:
        snapshot = self._snapshots[name]
        snapshot.take()
        try:
            yield
        finally:
            snapshot.restore()
