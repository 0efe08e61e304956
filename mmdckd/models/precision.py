# Copyright (c) mmdckd contributors. All rights reserved.
import torch


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    """Losses and targets are computed in float32, or float64 of float64."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
