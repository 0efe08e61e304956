# Copyright (c) mmdckd contributors. All rights reserved.
"""Store the predictions of every member for every image."""

from typing import Dict, List, Sequence

import numpy as np
import torch
from mmengine.dist import all_gather_object

#: With more images, nothing is stored: each validation would write hundreds of
#: MB.
MOST_IMAGES = 100_000


class Predictions:
    """Stores the top-1 prediction and confidence of every member for each image
    of a validation."""

    def __init__(self) -> None:
        self._batches: List[Dict[str, np.ndarray]] = []

    def add(
        self,
        scores: Dict[str, torch.Tensor],
        labels: torch.Tensor,
        numbers: Sequence[int],
        files: Sequence[str],
    ) -> None:
        """Add a batch.

        Args:
            scores (Dict[str, Tensor]): Every member's probabilities (B, C),
                always the same members in the same order.
            labels (Tensor): Class indices (B,).
            numbers (Sequence[int]): The images' indices in the dataset; -1 if
                unknown.
            files (Sequence[str]): The paths of the images; '' for an image
                without a file.
        """
        confidence, top = torch.stack(list(scores.values()), 1).max(-1)
        self._batches.append(
            dict(
                labels=labels.cpu().numpy().astype(np.int32),
                top=top.cpu().numpy().astype(np.int32),
                confidence=confidence.cpu().numpy().astype(np.float32),
                numbers=np.array(numbers, np.int64),
                files=np.array(files, object),
            )
        )

    def arrays(self) -> Dict[str, np.ndarray]:
        """Gather the predictions of all processes; each process has to call it.

        Returns:
            Dict[str, ndarray]: For V images in the order of the dataset:
            ``labels`` (V,), ``top`` and ``confidence`` (M, V), ``numbers``
            (V,), and ``files``, the UTF-8 bytes of all paths, separated by a
            zero.
        """
        batches = [each for own in all_gather_object(self._batches) for each in own]
        if not batches:
            return {}
        found = {
            key: np.concatenate([batch[key] for batch in batches]) for key in batches[0]
        }
        order = np.argsort(found['numbers'], kind='stable')
        found = {key: array[order] for key, array in found.items()}
        text = '\0'.join(found['files']).encode(errors='surrogateescape')
        return dict(
            found,
            top=found['top'].T,
            confidence=found['confidence'].T,
            files=np.frombuffer(text, np.uint8),
        )


def split_files(files: np.ndarray) -> List[str]:
    """Split ``files`` of :meth:`Predictions.arrays` into paths."""
    return files.tobytes().decode(errors='surrogateescape').split('\0')
