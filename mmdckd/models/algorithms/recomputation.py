# Copyright (c) mmdckd contributors. All rights reserved.
"""Run a student without keeping its activations."""

from contextlib import contextmanager, nullcontext
from typing import Any, Callable, Dict, Iterator

from mmengine.model import BaseModel
from torch.utils.checkpoint import checkpoint

from .buffer_snapshot import BufferSnapshot


class Recomputation:
    """Runs students so that the backward pass recomputes their activations.

    The forward pass keeps a student's inputs, outputs and recorded features
    only. The backward pass goes through the students one after the other and
    runs each once more, so that the activations of one student are alive at
    a time. It costs one more forward pass of every student.

    The second pass draws the same random numbers of torch (dropout, drop
    path) and leaves the buffers, such as the statistics of BatchNorm layers,
    as the first pass left them. Recorders do not see it.

    See :func:`torch.utils.checkpoint.checkpoint`, which does the work.

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
            *args: What that takes.

        Returns:
            Any: What that returns.
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
