# Copyright (c) mmdckd contributors. All rights reserved.
from contextlib import contextmanager
from datetime import timedelta
from typing import Iterator

import torch.distributed as dist
from mmengine.dist import get_world_size

_LONGEST = timedelta(days=7)


@contextmanager
def waiting_for_all() -> Iterator[None]:
    """Wait, at the end of this context, until all processes have reached it.

    ``barrier`` fails where one process takes longer than the time limit of
    collectives, by default 10 minutes with nccl and 30 with gloo.
    """
    if get_world_size() == 1:
        yield
        return
    # On the CPU, so that no GPU waits either.
    group = dist.new_group(backend='gloo', timeout=_LONGEST)
    yield
    dist.barrier(group)
    dist.destroy_process_group(group)
