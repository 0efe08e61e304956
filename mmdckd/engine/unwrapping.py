# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any

from mmengine.model import is_model_wrapper
from torch import nn


def unwrapped(model: nn.Module) -> Any:
    """Return the model of a run without the wrapper of distributed training."""
    return model.module if is_model_wrapper(model) else model
