# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, Optional, Sequence

from .folds import NO_FOLD, Folds, image_identity


class FoldedPipeline:
    """Runs a pipeline and adds ``fold`` to the meta information of samples.

    The fold is found by the identity of the image, not by its index, so it is
    right inside any wrapper and for an image that replaces a broken one.

    Args:
        pipeline (Callable): The pipeline of a dataset.
        folds (Folds): The folds of its images; other images are in no fold.
        roots (Sequence[str]): The folders of its images.
    """

    def __init__(self, pipeline: Any, folds: Folds, roots: Sequence[str]) -> None:
        self.pipeline = pipeline
        self.folds = folds
        self.roots = list(roots)

    def __getattr__(self, name: str) -> Any:
        if name == 'pipeline':  # not there yet, while it is unpickled
            raise AttributeError(name)
        return getattr(self.pipeline, name)

    def __call__(self, results: dict) -> Optional[dict]:
        fold = self.folds.fold_of(image_identity(results, self.roots))
        packed = self.pipeline(results)
        if packed is not None:
            fold = NO_FOLD if fold is None else fold
            packed['data_samples'].set_metainfo(dict(fold=fold))
        return packed

    def __repr__(self) -> str:
        return repr(self.pipeline)
