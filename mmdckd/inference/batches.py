# Copyright (c) mmdckd contributors. All rights reserved.
"""Classifies many images, some at a time."""

from typing import Iterator, List, Tuple

from torch import Tensor

from .predictor import Predictor


def classify(
    predictor: Predictor, paths: List[str], batch_size: int, unread: List[str]
) -> Iterator[Tuple[str, Tensor]]:
    """Classify images, as many of one size at a time as follow each other.

    Args:
        predictor (Predictor): The network.
        paths (List[str]): The image files.
        batch_size (int): How many images there are at most in a batch.
        unread (List[str]): Takes a message for each that cannot be read.

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
        except Exception as error:  # of pipelines and decoders, any
            unread.append(f'{path}: {error.__cause__ or error}')
            continue
        if len(batch) == batch_size or (
            batch and batch[0][1]['inputs'].shape != image['inputs'].shape
        ):
            yield from scores()
        batch.append((path, image))
    yield from scores()
