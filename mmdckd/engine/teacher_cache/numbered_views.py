# Copyright (c) mmdckd contributors. All rights reserved.
"""The views of :class:`~mmdckd.datasets.EnumeratedCropFlip`, whose logits are
computed before the training, for runs of any seed."""

import time
from typing import Any, Callable, Iterator, List

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import barrier, is_main_process

from mmdckd.datasets import EnumeratedCropFlip
from mmdckd.engine.inner_datasets import inner_datasets
from mmdckd.engine.unwrapping import unwrapped
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.models.teachers import FrozenTeacher
from mmdckd.models.teachers.logits_cache import LogitsCache, hash_of

Run = Callable[[torch.Tensor], torch.Tensor]


def is_numbered(dataset: Any) -> bool:
    """Whether the pipeline of a dataset makes views with numbers."""
    transforms = getattr(getattr(whole(dataset), 'pipeline', None), 'transforms', [])
    return any(isinstance(each, EnumeratedCropFlip) for each in transforms)


def whole(dataset: Any) -> Any:
    """The dataset in wrappers that choose images of one, by whose indices
    ``sample_idx`` counts."""
    inner = inner_datasets(dataset)
    return whole(inner[0]) if len(inner) == 1 else dataset


def open_numbered(folder: str, runner, network: FrozenTeacher, run: Run) -> LogitsCache:
    """Open the cache of one network, built where there is none.

    Args:
        folder (str): The folder of the files.
        runner (Runner): The runner of the training.
        network (FrozenTeacher): The network.
        run (Callable): Runs it on images (B, 3, H, W): its logits (B, C).

    Raises:
        ValueError: If there are views beside those with numbers.
    """
    views = NumberedViews(runner.train_loop.dataloader, runner.model, network, run)
    key, shape = views.key(), views.shape()
    cache = LogitsCache.open(folder, key, shape)
    if cache is None and is_main_process():
        number = shape[0] * shape[1]
        runner.logger.info(
            f'TeacherCacheHook: the teacher looks at {number:,} views, '
            f'once; {2 * number * shape[2] / 2**20:,.1f} MiB in '
            f'{folder}.'
        )
        start = time.time()
        LogitsCache.create(folder, key, shape, views.logits())
        runner.logger.info(f'TeacherCacheHook: done in {time.time() - start:.0f} s.')
    barrier()
    if cache is None:
        cache = LogitsCache.open(folder, key, shape)
    if cache is None:
        raise OSError(
            f'`TeacherCacheHook.folder`={folder!r}: what '
            'the first process has written there is not what '
            'this one reads. It should be on one disk.'
        )
    return cache


class NumberedViews:
    """All views of the images of a training, and what a network says.

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
                '`TeacherCacheHook` needs one `mmdckd.EnumeratedCropFlip` in '
                '`train_dataloader.dataset.pipeline`, in the place of what '
                'is random there, and one dataset, but found '
                f'{[type(t).__name__ for t in transforms]} in a '
                f'{type(self.dataset).__name__}.'
            )
        self.before = transforms[: places[0]]
        self.enumerated = transforms[places[0]]
        self.after = transforms[places[0] + 1 :]

    def key(self) -> str:
        """What the logits are of, as a name of a file."""
        teacher = self.network.model
        state = teacher.state_dict()
        digest = hash_of(
            str(teacher),
            repr(self.enumerated),
            repr([type(transform).__name__ for transform in self.after]),
            *state,
            *state.values(),
            self._teacher_inputs([self._packed(0, 0)]),
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
        """An image as it comes to the views."""
        results = self.dataset.get_data_info(index)
        for transform in self.before:
            results = results and transform(results)
        if results is None:
            raise ValueError(
                f'`TeacherCacheHook`: image {index} cannot be '
                'read, and the teacher has nothing to look at. '
                'Take it out of the dataset.'
            )
        return results

    def _packed(self, index: int, number: int, image=None) -> dict:
        results = self.enumerated.view(image or self._image(index), number)
        for transform in self.after:
            results = transform(results)
        return results

    def _teacher_inputs(self, packed: List[dict]) -> torch.Tensor:
        data = self.preprocess(self.loader.collate_fn(packed))
        return self.network.adapt(data['inputs'])

    def _run(self, packed: List[dict]) -> np.ndarray:
        data = self.preprocess(self.loader.collate_fn(packed))
        return self.run(data['inputs']).float().cpu().numpy()
