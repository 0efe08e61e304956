# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Callable, List, Optional, Protocol

import torch
from mmengine.structures import BaseDataElement


class CachedLogits(Protocol):
    """A frozen network's logits, looked up instead of computed."""

    def look_up(
        self,
        inputs: torch.Tensor,
        data_samples: Optional[List[BaseDataElement]],
        run: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """Look up the logits of a batch.

        Args:
            inputs (Tensor): Preprocessed images (B, 3, H, W).
            data_samples (List[DataSample], optional): Their data samples.
            run (Callable): Runs the network on images: its logits (B, C).

        Returns:
            Tensor: The logits, float32 of shape (B, C).
        """
        ...


def check_lookup(found: torch.Tensor, computed: torch.Tensor, hint: str) -> None:
    """Compare logits that were looked up with those the network computes.

    Args:
        found (Tensor): Logits that were looked up.
        computed (Tensor): The same logits, computed now.
        hint (str): What to do if they differ.

    Raises:
        ValueError: If they differ by more than rounding, relative to the
            largest.
    """
    half = computed.dtype != torch.float32 or torch.is_autocast_enabled(
        computed.device.type
    )
    computed = computed.float()
    most = (found.float() - computed).abs().max() / computed.abs().max()
    if not most < (0.1 if half else 0.005):
        raise ValueError(
            "Invalid `TeacherCacheHook.folder`: expected the teacher's logits of the "
            f'same images, got logits that differ by {float(most):.2g} of the '
            f'largest. {hint}'
        )
