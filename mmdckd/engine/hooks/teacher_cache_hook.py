# Copyright (c) mmdckd contributors. All rights reserved.
import time
from functools import partial
from typing import Callable, Iterator, List

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook

from mmdckd.datasets import EnumeratedCropFlip
from mmdckd.engine.unwrapping import unwrapped
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.models.teachers import FrozenTeacher
from mmdckd.models.teachers.logits_cache import LogitsCache, hash_of
from mmdckd.registry import HOOKS

from ..inner_datasets import inner_datasets

Run = Callable[[torch.Tensor], torch.Tensor]


@HOOKS.register_module()
class TeacherCacheHook(Hook):
    """Has the logits of the teacher, and of every finished peer, of all views
    of all images computed once, for every run that asks for the same.

    These networks do not run in training then: their logits are looked up in
    ``model.teacher_pass.cache`` and ``model.finished_peers.caches``, which
    this hook sets. They are kept as float16, so they are those of the network
    but for a rounding by 1 in 2,000. The views are those of
    :class:`~mmdckd.datasets.EnumeratedCropFlip`, which takes the place of
    what is random in the pipeline; ``PackInputs`` passes on their numbers.

    A file's name is a hash of the teacher's network and weights, of the
    images as they come to the views, of the views, and of an image as it
    comes to the teacher: another teacher, other data or another preprocessing
    have another file. The file is checked against its checksum as it is
    opened, and rebuilt where it is damaged. In the first step the teacher
    runs once more, and what was looked up is compared with what it says.

    It pays where runs together have more epochs than an image has views.

    Args:
        folder (str): The folder of the files. Defaults to
            ``'data/teacher_logits'``.

    Raises:
        ValueError: Before the first step, if the model has not one frozen
            teacher whose logits alone are looked at, students have views of
            their own, or the pipeline has no such views.

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.TeacherCacheHook')]
    """

    # The labels are checked first: an image may be none.
    priority = 'LOW'

    def __init__(self, folder: str = 'data/teacher_logits') -> None:
        self.folder = folder

    def before_train(self, runner) -> None:
        """Open the cache, or build it."""
        model = unwrapped(runner.model)
        _check_model(model)
        model.teacher_pass.cache = None
        if model.teachers:
            model.teacher_pass.cache = self._cache(
                runner, model.teachers[0], model.teacher_pass.logits
            )
        if model.finished_peers is not None:
            peers = model.finished_peers
            peers.caches = {}
            peers.caches = {
                name: self._cache(runner, peer, partial(peers.run, name))
                for name, peer in peers.networks.items()
            }

    def _cache(self, runner, network: FrozenTeacher, run: Run) -> LogitsCache:
        """The cache of one network, built where there is none."""
        views = _Views(runner.train_loop.dataloader, runner.model, network, run)
        key, shape = views.key(), views.shape()
        cache = LogitsCache.open(self.folder, key, shape)
        if cache is None and is_main_process():
            number = shape[0] * shape[1]
            runner.logger.info(
                f'TeacherCacheHook: the teacher looks at {number:,} views, '
                f'once; {2 * number * shape[2] / 2**20:,.1f} MiB in '
                f'{self.folder}.'
            )
            start = time.time()
            LogitsCache.create(self.folder, key, shape, views.logits())
            runner.logger.info(
                f'TeacherCacheHook: done in {time.time() - start:.0f} s.'
            )
        barrier()
        if cache is None:
            cache = LogitsCache.open(self.folder, key, shape)
        if cache is None:
            raise OSError(
                f'`TeacherCacheHook.folder`={self.folder!r}: what '
                'the first process has written there is not what '
                'this one reads. It should be on one disk.'
            )
        return cache


class _Views:
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
        self.dataset = _whole(loader.dataset)
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


def _whole(dataset):
    """The dataset in wrappers that choose images of one, by whose indices
    ``sample_idx`` counts."""
    inner = inner_datasets(dataset)
    return _whole(inner[0]) if len(inner) == 1 else dataset


def _check_model(model) -> None:
    if (
        not isinstance(model, CollectiveDistill)
        or len(model.teachers) > 1
        or model.teacher_trainable
        or not (model.teachers or model.finished_peers)
    ):
        raise ValueError(
            '`TeacherCacheHook` is for a `CollectiveDistill` with one `teacher` '
            'that is not trained, with `finished_peers`, or with both.'
        )
    if model.views != 'shared' or getattr(
        model.data_preprocessor, 'batch_augments', None
    ):
        raise ValueError(
            "`TeacherCacheHook` and `views='independent'` or batch augments "
            '(mixup, CutMix) exclude each other: what the teacher sees could '
            'not be numbered. Drop one.'
        )
    if model.teachers and not model.distiller.takes_teacher_logits_alone:
        raise ValueError(
            '`TeacherCacheHook` has the logits for `distiller.'
            'collective_losses`, and nothing else of a teacher: it does not '
            'go with `distiller.teacher_recorders` or `distill_deliveries`, '
            'nor without a collective loss that needs the teacher. Say '
            "plain KD as dict(type='mmdckd.DCKDLoss', beta=0., gamma=0.)."
        )
