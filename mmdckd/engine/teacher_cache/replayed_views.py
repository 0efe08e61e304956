# Copyright (c) mmdckd contributors. All rights reserved.
import random
from typing import Any, Callable, List, Tuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_dist_info

from mmdckd.engine.data_group import data_group
from mmdckd.engine.loops.exact_train_loops import ExactTrainLoop
from mmdckd.engine.randomness import Draw, seed_data, unchanged_randomness
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.models.teachers import FrozenTeacher
from mmdckd.models.teachers.fingerprints import fingerprints, mixed
from mmdckd.models.teachers.logit_format import LogitFormat
from mmdckd.models.teachers.logits_cache import hash_of
from mmdckd.models.teachers.replayed_logits import ReplayedLogits

Run = Callable[[torch.Tensor], torch.Tensor]


class ReplayedViews:
    """The views of a run, identified by their position in the data.

    Args:
        options (TeacherCacheHook): Its ``folder``, ``top_k``, ``dtype``,
            ``epochs`` and ``max_bytes`` are used.
        runner (Runner): The runner of the training.
        model (CollectiveDistill): The model.

    Raises:
        ValueError: If another run could not make the same views.
    """

    def __init__(self, options: Any, runner, model: CollectiveDistill) -> None:
        self._options = options
        self._runner = runner
        self._model = model
        self._loop = loop = runner.train_loop
        if not isinstance(loop, ExactTrainLoop):
            raise ValueError(
                'Invalid `default_hooks`: expected `exact_resume=dict(type='
                "'mmdckd.ExactResumeHook')`, which `TeacherCacheHook` needs to make "
                'the same views in every run, got none.'
            )
        if options.top_k and model.task.name != 'classification':
            raise ValueError(
                'Invalid `TeacherCacheHook.top_k`: expected None for a '
                f'{model.task.name} task, which has no softmax over its classes, '
                f'got {options.top_k!r}.'
            )
        _, self._world_size = get_dist_info(data_group(model))
        self._batch = self._of_two_images()
        self._mixes = self._draws()
        self._first_mixing = self._mixing()
        endless = isinstance(loop.batches.index_sampler, InfiniteSampler)
        if options.epochs and (endless or self._mixes):
            raise ValueError(
                'Invalid `TeacherCacheHook.epochs`: expected None with '
                + ('an `InfiniteSampler`' if endless else 'mixup or CutMix')
                + f', whose passes cannot be repeated, got {options.epochs!r}.'
            )
        loop.batches.different = options.epochs
        self._places = self._count_places(endless)
        self._caches: List[ReplayedLogits] = []

    def open(self, network: FrozenTeacher, run: Run) -> ReplayedLogits:
        """Open the cache of one network.

        Args:
            network (FrozenTeacher): The network.
            run (Callable): Runs it on images (B, 3, H, W): its logits (B, C).
        """
        options = self._options
        inputs = self._preprocess(training=False)
        logits = run(inputs)
        form = LogitFormat(logits.shape[1], options.top_k, options.dtype)
        form.pack(form.keep(logits))  # raises if they do not fit into the type
        wrapper = self._runner.optim_wrapper
        state = network.model.state_dict()
        batches = self._loop.batches
        key = hash_of(
            str(network.model),
            *state,
            *state.values(),
            network.adapt(inputs),
            repr((inputs.device.type, self._model.channels_last)),
            repr((type(wrapper).__name__, getattr(wrapper, 'cast_dtype', None))),
            repr((batches.seed, getattr(batches.index_sampler, 'seed', None))),
            repr((self._places, form)),
            self._data(),
        )
        cache = ReplayedLogits(
            options.folder, key.hexdigest(), form, self._places, options.max_bytes
        )
        self._caches.append(cache)
        return cache

    def begin_step(self, data_batch: Any) -> None:
        """Tell the caches which images the next step has."""
        batches = self._loop.batches
        prints = fingerprints(data_batch['inputs'])
        mixing = self._mixing()
        if mixing != self._first_mixing:  # as `SwitchRecipeHook` does
            prints = mixed(prints, batches.seed, self._loop.iter, mixing)
        elif self._mixes:
            prints = mixed(prints, batches.seed, self._loop.iter)
        # An endless sampler goes on where a pass ends.
        number = batches.samples // self._places
        places = [place - number * self._places for place in batches.places]
        if self._model.exchange is not None:
            share = self._model.exchange.mesh.share
            places, prints = share(places), share(prints)
        for cache in self._caches:
            cache.begin_step(f'{batches.drawn_epoch}-{number}', places, prints)

    def end_step(self) -> None:
        """Let the caches store the logits they did not find."""
        for cache in self._caches:
            cache.end_step()

    def _count_places(self, endless: bool) -> int:
        """The number of images of a pass, padded to whole batches."""
        loader, batches = self._loop.dataloader, self._loop.batches
        size = getattr(batches.batch_sampler, 'batch_size', None)
        size = (size or loader.batch_size or 1) * self._world_size
        if endless:
            return -(-len(loader.dataset) // size) * size
        return max(len(batches) * size, len(loader.dataset))

    def _data(self) -> str:
        """The config of dataset, pipeline and sampler."""
        loader = self._runner.cfg.get('train_dataloader') or {}
        if not isinstance(loader, dict):
            return repr(self._loop.dataloader.dataset)
        parts = {
            key: loader.get(key) for key in ('dataset', 'sampler', 'batch_sampler')
        }
        text = repr(Config(parts).to_dict())
        return text + (self._mixing() if self._mixes else '')

    def _mixing(self) -> str:
        """The settings that mix the images of a batch."""
        preprocessor = self._model.data_preprocessor
        augments = getattr(preprocessor, 'batch_augments', None)
        each = [
            (type(augment).__name__, vars(augment))
            for augment in getattr(augments, 'augments', [])
        ]
        return repr((str(preprocessor), each, getattr(augments, 'probs', None)))

    def _of_two_images(self) -> Any:
        """A batch that shows how images are loaded."""
        loader = self._loop.dataloader
        with unchanged_randomness():
            seed_data(0, Draw.SAMPLE)
            return loader.collate_fn([loader.dataset[0], loader.dataset[0]])

    def _preprocess(self, training: bool) -> torch.Tensor:
        return self._model.data_preprocessor(self._batch, training)['inputs']

    def _draws(self) -> bool:
        """Whether the data preprocessor draws random numbers."""
        with unchanged_randomness():
            seed_data(0, Draw.STEP)
            before = _states()
            self._preprocess(training=True)
            return before != _states()


def _states() -> Tuple[Any, ...]:
    numpy: Tuple = np.random.get_state()  # type: ignore[assignment]
    torches = [torch.default_generator.get_state().tolist()]
    if torch.cuda.is_available():
        torches.append(torch.cuda.get_rng_state().tolist())
    return random.getstate(), numpy[1].tolist(), numpy[2:], torches
