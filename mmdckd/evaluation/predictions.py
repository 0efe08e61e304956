# Copyright (c) mmdckd contributors. All rights reserved.
"""What every member has predicted for every image."""

from typing import Dict, List, Sequence

import numpy as np
import torch
from mmengine.dist import all_gather_object

#: Of more images nothing is kept: a byte array of a few MB each validation
#: would become hundreds.
MOST_IMAGES = 100_000


class Predictions:
    """The top-1 of every member for each image of a validation, and how sure
    it is of it."""

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
            numbers (Sequence[int]): The images' places in the dataset; -1
                where they are not known.
            files (Sequence[str]): The paths of the images; '' of one that is
                in no file.
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
        """Everything, of all processes, which all have to call it.

        Returns:
            Dict[str, ndarray]: Of V images in the order of the dataset:
            ``labels`` (V,), ``top`` and ``confidence`` (M, V), ``numbers``
            (V,), and ``files``, the bytes of all paths in UTF-8 with a zero
            between two.
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
    """The paths in ``files`` of :meth:`Predictions.arrays`."""
    return files.tobytes().decode(errors='surrogateescape').split('\0')
