# Copyright (c) mmdckd contributors. All rights reserved.
"""The views of :class:`~mmdckd.datasets.EnumeratedCropFlip`, whose logits are
computed before the training, for runs with any seed."""

import time
from typing import Any, Callable, Iterator, List, Optional

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import is_main_process

from mmdckd.console.messages import warn
from mmdckd.datasets import EnumeratedCropFlip
from mmdckd.engine.inner_datasets import inner_datasets
from mmdckd.engine.unwrapping import unwrapped
from mmdckd.engine.waiting import waiting_for_all
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.models.teachers import FrozenTeacher
from mmdckd.models.teachers.logits_cache import LogitsCache, hash_of

Run = Callable[[torch.Tensor], torch.Tensor]


def is_numbered(dataset: Any) -> bool:
    """Whether the pipeline of a dataset enumerates its views."""
    transforms = getattr(getattr(whole(dataset), 'pipeline', None), 'transforms', [])
    return any(isinstance(each, EnumeratedCropFlip) for each in transforms)


def whole(dataset: Any) -> Any:
    """The dataset inside wrappers of a single one; ``sample_idx`` is an index
    into it."""
    inner = inner_datasets(dataset)
    return whole(inner[0]) if len(inner) == 1 else dataset


def open_numbered(
    folder: str, runner, network: FrozenTeacher, run: Run
) -> Optional[LogitsCache]:
    """Open the cache of one network; build it if it is missing.

    Args:
        folder (str): The folder of the cache.
        runner (Runner): The runner of the training.
        network (FrozenTeacher): The network.
        run (Callable): Runs it on images (B, 3, H, W): its logits (B, C).

    Returns:
        LogitsCache, optional: None if it cannot be written.

    Raises:
        ValueError: If the pipeline has views that are not enumerated.
    """
    views = NumberedViews(runner.train_loop.dataloader, runner.model, network, run)
    key, shape = views.key(), views.shape()
    cache = LogitsCache.open(folder, key, shape)
    with waiting_for_all():
        if cache is None and is_main_process():
            number = shape[0] * shape[1]
            runner.logger.info(
                f'TeacherCacheHook: the teacher runs once on {number:,} views; '
                f'{2 * number * shape[2] / 2**20:,.1f} MiB in {folder}.'
            )
            start = time.time()
            try:
                cache = LogitsCache.create(folder, key, shape, views.logits())
            except OSError as error:
                warn(f'TeacherCacheHook: {error}.', runner.logger)
            runner.logger.info(
                f'TeacherCacheHook: done in {time.time() - start:.0f} s.'
            )
    if cache is None:
        cache = LogitsCache.open(folder, key, shape)
    if cache is None:
        warn(
            f'TeacherCacheHook: cannot read what was stored in {folder!r}. Training '
            'continues without it; the teacher runs in every step.',
            runner.logger,
        )
    return cache


class NumberedViews:
    """All views of the training images, and a network's logits of them.

    Args:
        loader (DataLoader): The dataloader of the training.
        model (CollectiveDistill): The model.
        network (FrozenTeacher): The network.
        run (Callable): Runs it on images (B, 3, H, W): its logits (B, C).
    """

    def __init__(
        self, loader, model: CollectiveDistill, network: FrozenTeacher, run: Run
    ) -> None:
        self.dataset = whole(loader.dataset)
        self.loader = loader
        self.preprocess = unwrapped(model).data_preprocessor
        self.network = network
        self.run = run
        transforms = getattr(getattr(self.dataset, 'pipeline', None), 'transforms', [])
        places = [
            i
            for i, transform in enumerate(transforms)
            if isinstance(transform, EnumeratedCropFlip)
        ]
        if not isinstance(self.dataset, BaseDataset) or len(places) != 1:
            raise ValueError(
                'Invalid `train_dataloader.dataset.pipeline`: expected one '
                '`mmdckd.EnumeratedCropFlip` of one dataset for '
                f'`TeacherCacheHook`, got {[type(t).__name__ for t in transforms]} '
                f'of a {type(self.dataset).__name__}.'
            )
        self.before = transforms[: places[0]]
        self.enumerated = transforms[places[0]]
        self.after = transforms[places[0] + 1 :]

    def key(self) -> str:
        """The hash of everything the logits depend on."""
        teacher = self.network.model
        state = teacher.state_dict()
        digest = hash_of(
            str(teacher),
            repr(self.enumerated),
            repr([type(transform).__name__ for transform in self.after]),
            *state,
            *state.values(),
            self.network.adapt(self._inputs([self._packed(0, 0)])),
        )
        for index in range(len(self.dataset)):
            digest.update(hash_of(self._image(index)['img']).digest())
        return digest.hexdigest()

    def shape(self) -> tuple:
        """tuple: I, V and C."""
        classes = self._run([self._packed(0, 0)]).shape[1]
        return len(self.dataset), self.enumerated.num_views, classes

    def logits(self) -> Iterator[np.ndarray]:
        """The logits of all views, image by image, in batches (B, C)."""
        size = self.loader.batch_size or self.enumerated.num_views
        batch = []
        for index in range(len(self.dataset)):
            image = self._image(index)
            for number in range(self.enumerated.num_views):
                batch.append(self._packed(index, number, image))
                if len(batch) == size:
                    yield self._run(batch)
                    batch = []
        if batch:
            yield self._run(batch)

    def _image(self, index: int) -> dict:
        """An image before its views are made."""
        results = self.dataset.get_data_info(index)
        for transform in self.before:
            results = results and transform(results)
        if results is None:
            raise ValueError(
                'Invalid `train_dataloader.dataset`: expected images that can be '
                f'read for `TeacherCacheHook`, got a broken one at index {index}. '
                'Remove it from the dataset.'
            )
        return results

    def _packed(self, index: int, number: int, image=None) -> dict:
        results = self.enumerated.view(image or self._image(index), number)
        for transform in self.after:
            results = transform(results)
        return results

    def _inputs(self, packed: List[dict]) -> torch.Tensor:
        return self.preprocess(self.loader.collate_fn(packed))['inputs']

    def _run(self, packed: List[dict]) -> np.ndarray:
        return self.run(self._inputs(packed)).float().cpu().numpy()
