# Copyright (c) mmdckd contributors. All rights reserved.
import torch


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    """Cast half precision to float32, in which losses and targets are computed;
    leave float64 as it is."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()
