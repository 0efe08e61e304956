# Copyright (c) mmdckd contributors. All rights reserved.
from functools import partial
from typing import Any, Optional

from mmengine.hooks import Hook

from mmdckd.engine.teacher_cache.numbered_views import is_numbered, open_numbered
from mmdckd.engine.teacher_cache.replayed_views import ReplayedViews
from mmdckd.engine.unwrapping import unwrapped
from mmdckd.errors import invalid
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.registry import HOOKS


@HOOKS.register_module()
class TeacherCacheHook(Hook):
    """Computes the logits of the teacher, and of every finished peer, once
    for all runs that show them the same views of the same images.

    **Any pipeline.** With :class:`ExactResumeHook`, what an image's transforms
    draw follows from the seed, the pass over the data and the image's place in
    it. So runs with the same seed make the same views, and so does a resumed
    run. The first run keeps what the teacher says in
    ``<folder>/<key>/<pass>.logits``, and the others look it up; runs at the
    same time share what each has written. The key is a hash of the network and
    its weights, of dataset, pipeline and sampler, of the seed, and of how an
    image comes to the network. An entry is used for the image that it was
    computed for alone: it has a checksum and a fingerprint of the view. Where
    an entry is missing, damaged or of another view, the teacher runs and the
    entry is written anew; where it cannot be written, training goes on
    without. At the first batch that is looked up, the teacher runs once more
    and is compared. mixup and CutMix of the data preprocessor are replayed too.

    A run with the cache is a run without it but for the rounding of the
    logits, and it is the same run, bit for bit, whether logits are found or
    computed. With ``dtype='float32'`` and all logits there is no rounding.

    **Enumerated views.** Where the pipeline has an
    :class:`~mmdckd.datasets.EnumeratedCropFlip`, an image has few views, with
    numbers that ``PackInputs`` passes on. All of them are computed before the
    training, in float16, for runs of every seed. It pays where runs together
    have more epochs than an image has views.

    Args:
        folder (str): The folder of the files. Defaults to
            ``'data/teacher_logits'``.
        top_k (int, optional): How many of an image's logits are kept; the
            rest is kept as one log-sum, see
            :class:`~mmdckd.models.teachers.logit_format.LogitFormat`. Defaults
            to None: all.
        dtype (str): ``'float16'`` or ``'float32'``. Defaults to
            ``'float16'``.
        epochs (int, optional): E, how many different passes over the data
            there are: those after the first E show the views of these again,
            in the same order. Defaults to None: each pass has its own views.
        max_bytes (int): Upper bound on all files in the folder together; the
            passes that do not fit are not kept. Defaults to 16 GiB.

    Raises:
        ValueError: Before the first step, if the model has not one frozen
            teacher whose logits alone are looked at, students have views of
            their own, or the views cannot be made again.

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.TeacherCacheHook', epochs=50)]
    """

    # The labels are checked first: an image may be none.
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
            whole = isinstance(value, int) and not isinstance(value, bool)
            if value is not None and not (whole and value > 0):
                raise invalid(f'TeacherCacheHook.{name}', 'a positive integer', value)
        self.folder = folder
        self.top_k = top_k
        self.dtype = dtype
        self.epochs = epochs
        self.max_bytes = max_bytes
        self._views: Optional[ReplayedViews] = None

    def before_train(self, runner) -> None:
        """Open the caches; those of enumerated views are built."""
        model = unwrapped(runner.model)
        _check_model(model)
        model.teacher_pass.cache = None
        if model.finished_peers is not None:
            model.finished_peers.caches = {}
        self._views = None
        numbered = is_numbered(runner.train_loop.dataloader.dataset)
        if numbered:
            self._check_numbered(model)
        else:
            self._views = ReplayedViews(self, runner, model)
        open_one: Any = (
            partial(open_numbered, self.folder, runner)
            if numbered
            else self._views.open  # type: ignore[union-attr]
        )
        if model.teachers:
            model.teacher_pass.cache = open_one(
                model.teachers[0], model.teacher_pass.logits
            )
        if model.finished_peers is not None:
            peers = model.finished_peers
            peers.caches = {
                name: open_one(peer, partial(peers.run, name))
                for name, peer in peers.networks.items()
            }

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Tell the caches which views the step has."""
        if self._views is not None:
            self._views.begin_step(data_batch)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Keep what the step has not found."""
        if self._views is not None:
            self._views.end_step()

    def _check_numbered(self, model: CollectiveDistill) -> None:
        if self.top_k or self.epochs or self.dtype != 'float16':
            raise ValueError(
                'Invalid `TeacherCacheHook`: expected no `top_k`, `dtype` or '
                '`epochs` beside `mmdckd.EnumeratedCropFlip`, which has few views '
                'for all epochs, got one. Crop and flip by `RandomCrop` and '
                '`RandomFlip`, or leave them out.'
            )
        if getattr(model.data_preprocessor, 'batch_augments', None):
            raise ValueError(
                'Invalid `data_preprocessor.batch_augments`: expected none beside '
                '`mmdckd.EnumeratedCropFlip`, since mixed images have no number. '
                'Crop and flip by `RandomCrop` and `RandomFlip`, whose views are '
                'looked up too.'
            )


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
    if model.views != 'shared':
        raise ValueError(
            "Invalid `model.views`: expected 'shared' beside `TeacherCacheHook`, "
            f'which has one view an image, got {model.views!r}.'
        )
    if model.teachers and not model.distiller.takes_teacher_logits_alone:
        raise ValueError(
            '`TeacherCacheHook` has the logits for `distiller.'
            'collective_losses`, and nothing else of a teacher: it does not '
            'go with `distiller.teacher_recorders` or `distill_deliveries`, '
            'nor without a collective loss that needs the teacher. Say '
            "plain KD as dict(type='mmdckd.DCKDLoss', beta=0., gamma=0.)."
        )
