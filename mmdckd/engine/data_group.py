# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

from torch import nn
from torch.distributed import ProcessGroup

from .unwrapping import unwrapped


def data_group(model: nn.Module) -> Optional[ProcessGroup]:
    """Return the processes that share the training images of a step.

    Args:
        model (nn.Module): The model of a run.

    Returns:
        ProcessGroup, optional: None stands for all processes. With
        ``model.parallel='cohort'``, the processes that hold the same students.
    """
    exchange = getattr(unwrapped(model), 'exchange', None)
    return None if exchange is None else exchange.mesh.data
