# Copyright (c) mmdckd contributors. All rights reserved.
"""Classify many images in batches."""

from typing import Iterator, List, Tuple

from torch import Tensor

from .predictor import Predictor


def classify(
    predictor: Predictor, paths: List[str], batch_size: int, unread: List[str]
) -> Iterator[Tuple[str, Tensor]]:
    """Classify images in batches of consecutive images of the same size.

    Args:
        predictor (Predictor): The network.
        paths (List[str]): The image files.
        batch_size (int): The largest number of images in a batch.
        unread (List[str]): A message is appended for each image that cannot be
            read.

    Yields:
        Tuple[str, Tensor]: The path and the scores, of shape (C, ).
    """
    batch: List[Tuple[str, dict]] = []

    def scores() -> Iterator[Tuple[str, Tensor]]:
        if batch:
            names, images = zip(*batch)
            yield from zip(names, predictor(list(images)))
            batch.clear()

    for path in paths:
        try:
            image = predictor.read(path)
        except Exception as error:  # pipelines and decoders raise any error
            unread.append(f'{path}: {error.__cause__ or error}')
            continue
        if len(batch) == batch_size or (
            batch and batch[0][1]['inputs'].shape != image['inputs'].shape
        ):
            yield from scores()
        batch.append((path, image))
    yield from scores()
