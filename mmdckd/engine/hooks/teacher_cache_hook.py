# Copyright (c) mmdckd contributors. All rights reserved.
from functools import partial
from typing import Callable, Optional

import torch
from mmengine.hooks import Hook

from mmdckd.engine.teacher_cache.numbered_views import is_numbered, open_numbered
from mmdckd.engine.teacher_cache.replayed_views import ReplayedViews
from mmdckd.engine.unwrapping import unwrapped
from mmdckd.errors import invalid
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.models.teachers import FrozenTeacher
from mmdckd.models.teachers.cached_logits import CachedLogits
from mmdckd.registry import HOOKS
from mmdckd.values import is_whole

Run = Callable[[torch.Tensor], torch.Tensor]
Open = Callable[[FrozenTeacher, Run], Optional[CachedLogits]]


@HOOKS.register_module()
class TeacherCacheHook(Hook):
    """Computes the logits of the teacher, and of every finished peer, once for
    all runs that train on the same views.

    **Any pipeline.** With :class:`ExactResumeHook`, the random numbers of an
    image's transforms depend only on the seed, the pass over the data and the
    position of the image in it. So runs with the same seed, and resumed runs,
    make the same views, also with mixup or CutMix. The first run stores the
    logits while it trains, in ``<folder>/<key>/<pass>.logits``; the others look
    them up. Runs at the same time share what each has stored. The key is a hash
    of the network and its weights, of dataset, pipeline and sampler, of the
    seed, and of what the network's input depends on. Each entry has a checksum
    and a fingerprint of its view; if it is missing, damaged or of another view,
    the teacher runs and the entry is stored again. On a full disk or in a
    read-only folder, training continues with a warning. The first logits that a
    run finds are compared with those that the teacher computes.

    Logits are rounded when they are stored, and rounded equally when they are
    computed, so a run is bitwise the same whether it finds them or not. With
    ``dtype='float32'`` and all logits, it is bitwise the run without the hook.

    **Enumerated views.** If the pipeline has an
    :class:`~mmdckd.datasets.EnumeratedCropFlip`, an image has few views, whose
    numbers ``PackInputs`` passes on. The logits of all of them are computed
    before the training, in float16, for runs with any seed. This pays if runs
    with different seeds together have more epochs than an image has views.

    Args:
        folder (str): The folder of the cache. Defaults to
            ``'data/teacher_logits'``.
        top_k (int, optional): The number of logits that are stored of an image;
            the others are stored as one log-sum-exp, see
            :class:`~mmdckd.models.teachers.logit_format.LogitFormat`. Defaults
            to None, all.
        dtype (str): The type of stored logits, ``'float16'`` or
            ``'float32'``. Defaults to ``'float16'``.
        epochs (int, optional): The number E of different passes over the data:
            pass E + 1 repeats the views of the first in the same order, and so
            on. Defaults to None, no pass repeats another.
        max_bytes (int): The largest total size of the ``.logits`` files in the
            folder; the logits of further passes are not stored. Defaults to
            16 GiB.

    Raises:
        ValueError: If an argument is out of range. Before the first step, if
            the model has neither one frozen teacher, of which only logits are
            used, nor finished peers; if students have views of their own; or if
            another run could not make the same views.

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.TeacherCacheHook', epochs=50)]
    """

    # After the hook that checks labels, which also finds broken images.
    priority = 'LOW'

    def __init__(
        self,
        folder: str = 'data/teacher_logits',
        top_k: Optional[int] = None,
        dtype: str = 'float16',
        epochs: Optional[int] = None,
        max_bytes: int = 16 * 2**30,
    ) -> None:
        if dtype not in ('float16', 'float32'):
            raise invalid('TeacherCacheHook.dtype', "'float16' or 'float32'", dtype)
        for name, value in dict(
            top_k=top_k, epochs=epochs, max_bytes=max_bytes
        ).items():
            if value is None and name != 'max_bytes':
                continue
            if not is_whole(value, least=1):
                raise invalid(f'TeacherCacheHook.{name}', 'a positive integer', value)
        self.folder = folder
        self.top_k = top_k
        self.dtype = dtype
        self.epochs = epochs
        self.max_bytes = max_bytes
        self._views: Optional[ReplayedViews] = None

    def before_train(self, runner) -> None:
        """Open the caches; build those of enumerated views."""
        self._views = self._checked_views(runner)
        model = unwrapped(runner.model)
        model.teacher_pass.cache = None
        peers = model.finished_peers
        if peers is not None:
            peers.caches = {}
        open_one: Open = partial(open_numbered, self.folder, runner)
        if self._views is not None:
            open_one = self._views.open
        if model.teachers:
            model.teacher_pass.cache = open_one(
                model.teachers[0], model.teacher_pass.logits
            )
        for name, peer in peers.networks.items() if peers else ():
            cache = open_one(peer, partial(peers.run, name))
            if cache is not None:
                peers.caches[name] = cache

    def check_settings(self, runner) -> None:
        """Check a run that will not be trained, as a rehearsal does."""
        self._checked_views(runner)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Tell the caches which images the step has."""
        if self._views is not None:
            self._views.begin_step(data_batch)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Store the logits that the step did not find."""
        if self._views is not None:
            self._views.end_step()

    def _checked_views(self, runner) -> Optional[ReplayedViews]:
        """Check the run, and return its views; None if they are enumerated."""
        model = unwrapped(runner.model)
        _check_model(model)
        if is_numbered(runner.train_loop.dataloader.dataset):
            self._check_numbered(model)
            return None
        return ReplayedViews(self, runner, model)

    def _check_numbered(self, model: CollectiveDistill) -> None:
        if self.top_k or self.epochs or self.dtype != 'float16':
            raise ValueError(
                'Invalid `TeacherCacheHook`: expected no `top_k`, `dtype` or '
                '`epochs` with `mmdckd.EnumeratedCropFlip`, whose logits are all '
                'stored in float16, got one. Remove them, or use `RandomCrop` '
                'and `RandomFlip`.'
            )
        if getattr(model.data_preprocessor, 'batch_augments', None):
            raise ValueError(
                'Invalid `data_preprocessor.batch_augments`: expected None with '
                '`TeacherCacheHook` and `mmdckd.EnumeratedCropFlip`, whose views '
                'are not mixed, got some. Use `RandomCrop` and `RandomFlip`, '
                'which can be cached with mixup and CutMix.'
            )


def _check_model(model) -> None:
    if (
        not isinstance(model, CollectiveDistill)
        or len(model.teachers) > 1
        or model.teacher_trainable
        or not (model.teachers or model.finished_peers)
    ):
        raise ValueError(
            'Invalid `model`: expected a `CollectiveDistill` with one frozen '
            '`teacher`, with `finished_peers`, or with both for '
            '`TeacherCacheHook`, got another.'
        )
    if model.views != 'shared':
        raise ValueError(
            "Invalid `model.views`: expected 'shared' with `TeacherCacheHook`, "
            f'which stores one view of an image, got {model.views!r}.'
        )
    if model.teachers and not model.distiller.takes_teacher_logits_alone:
        raise ValueError(
            'Invalid `distiller`: expected a collective loss that learns from the '
            "teacher's logits, and no `distiller.teacher_recorders` or "
            '`distill_deliveries`, with `TeacherCacheHook`, which stores only '
            "logits, got another. Plain KD is dict(type='mmdckd.DCKDLoss', "
            'beta=0., gamma=0.).'
        )
