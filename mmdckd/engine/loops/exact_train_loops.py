# Copyright (c) mmdckd contributors. All rights reserved.
"""MMEngine's training loops, able to start where a run was interrupted.

They are not registered: :class:`~mmdckd.engine.hooks.ExactResumeHook` changes
the class of a run's loop to one of them, so ``train_cfg`` stays the same.
"""

from abc import abstractmethod
from contextlib import ExitStack, closing
from typing import Generator, Optional, Sequence

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmengine.runner.base_loop import BaseLoop
from torch import nn

from mmdckd.engine.randomness import Draw, seed_all

from .seeded_batches import SeededBatches


class ExactTrainLoop(BaseLoop):
    """The common part of both loops.

    Attributes:
        batches (SeededBatches): The position of the run in the data.
        start_epoch (int): The pass over the data that the run starts in.
        start_samples (int): The number of its samples that were trained on
            before; 0 once the pass has begun.
        at_end (ExitStack): Callbacks for the end of the training, also by an
            exception; hooks may add to it from ``before_train`` on.
    """

    batches: SeededBatches
    start_epoch = 0
    start_samples = 0
    at_end: ExitStack

    def run(self) -> nn.Module:
        """Launch training."""
        with ExitStack() as self.at_end:
            self.runner.call_hook('before_train')
            if self._iter > 0:  # as after the step before, for hooks to read
                self._decide_current_val_interval()
            self._train()
            self.runner.call_hook('after_train')
        return self.runner.model

    @abstractmethod
    def _train(self) -> None:
        """Train until the end of the run."""

    def resume(
        self, epoch: int, samples: int, sampler_seed: Optional[int] = None
    ) -> None:
        """Start where a checkpoint was saved.

        Args:
            epoch (int): The pass over the data.
            samples (int): The number of its samples that were trained on.
            sampler_seed (int, optional): The seed of the sampler, if it has
                one. Defaults to None.
        """
        self.start_epoch = epoch
        self.start_samples = samples
        # For a checkpoint that is saved before the next step.
        self.batches.epoch, self.batches.samples = epoch, samples
        if sampler_seed is not None:
            self.batches.index_sampler.seed = sampler_seed

    def _seed(self, draw: Draw) -> None:
        seed_all(self.runner.seed, draw, self._iter)

    def _step(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Train on a batch, as MMEngine's loops do."""
        runner = self.runner
        # In the first step of a run, hooks may draw more random numbers.
        self._seed(Draw.BEFORE_STEP)
        runner.call_hook('before_train_iter', batch_idx=idx, data_batch=data_batch)
        self._seed(Draw.STEP)
        outputs = runner.model.train_step(
            data_batch, optim_wrapper=runner.optim_wrapper
        )
        self.batches.count_batch()
        runner.call_hook(
            'after_train_iter', batch_idx=idx, data_batch=data_batch, outputs=outputs
        )
        self._iter += 1

    def _validate_if_due(self, time: int, end: int) -> None:
        """Validate if it is time to.

        Args:
            time (int): The number of epochs or iterations so far.
            end (int): Their total number.
        """
        self._decide_current_val_interval()
        if (
            self.runner.val_loop is not None
            and time >= self.val_begin
            and (time % self.val_interval == 0 or time == end)
        ):
            self._seed(Draw.VALIDATION)
            self.runner.val_loop.run()

    def _make_up_validation(self, time: int, end: int) -> None:
        """Validate if the run was interrupted before it did, according to
        ``last_val_iter`` in the message hub, which ``ExactResumeHook`` records.
        """
        validated = self.runner.message_hub.get_info('last_val_iter')
        if 0 < self._iter != validated:
            self._validate_if_due(time, end)


class ExactEpochTrainLoop(ExactTrainLoop, EpochBasedTrainLoop):
    """Trains by epochs, and can start in the middle of one."""

    def resume(
        self, epoch: int, samples: int, sampler_seed: Optional[int] = None
    ) -> None:
        """Start where a checkpoint was saved, possibly after its epoch."""
        super().resume(epoch, samples, sampler_seed)
        if epoch != self._epoch:
            self.start_epoch, self.start_samples = self._epoch, 0

    def _train(self) -> None:
        if not self.start_samples:
            self._make_up_validation(self._epoch, self._max_epochs)
        while self._epoch < self._max_epochs and not self.stop_training:
            self.run_epoch()
            self._validate_if_due(self._epoch, self._max_epochs)

    def run_epoch(self) -> None:
        """Train one epoch, or the rest of it."""
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        start = self.batches.begin(self._epoch, self.start_samples)
        self.start_samples = 0
        for idx, data_batch in enumerate(self.dataloader, start):
            self.run_iter(idx, data_batch)
        self._seed(Draw.AFTER_EPOCH)
        self.runner.call_hook('after_train_epoch')
        self._epoch += 1

    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Train on one batch."""
        self._step(idx, data_batch)


class ExactIterTrainLoop(ExactTrainLoop, IterBasedTrainLoop):
    """Trains by iterations, without loading data that was trained on before."""

    def _train(self) -> None:
        # MMEngine treats the whole training as one epoch.
        self.runner.call_hook('before_train_epoch')
        self._make_up_validation(self._iter, self._max_iters)
        # Closed, so that its workers end now rather than with this process.
        with closing(self._passes()) as self.dataloader_iterator:
            while self._iter < self._max_iters and not self.stop_training:
                self.runner.model.train()
                self.run_iter(next(self.dataloader_iterator))
                self._validate_if_due(self._iter, self._max_iters)
        self._seed(Draw.AFTER_EPOCH)
        self.runner.call_hook('after_train_epoch')

    def run_iter(self, data_batch: Sequence[dict]) -> None:
        """Train on one batch."""
        self._step(self._iter, data_batch)

    def _passes(self) -> Generator[Sequence[dict], None, None]:
        """Yield the batches of one pass over the data after another."""
        epoch, samples = self.start_epoch, self.start_samples
        self.start_samples = 0
        while True:
            self.batches.begin(epoch, samples)
            yield from self.dataloader
            if not self.batches.samples:
                raise ValueError(
                    'Invalid `train_dataloader.batch_size`: expected at most the '
                    'size of the dataset with `drop_last`, got more, so there is '
                    'not a single batch.'
                )
            epoch, samples = epoch + 1, 0


_EXACT = {
    EpochBasedTrainLoop: ExactEpochTrainLoop,
    IterBasedTrainLoop: ExactIterTrainLoop,
}


def make_exact(loop: BaseLoop) -> None:
    """Make a loop of MMEngine able to start where a run was interrupted.

    The loop keeps its state. Only its class changes, and the batch sampler of
    its data loader (:meth:`SeededBatches.install`). The runner built it from
    ``train_cfg``, and other objects may hold it already.

    Args:
        loop (BaseLoop): The loop, before it starts.

    Raises:
        ValueError: If it is neither of MMEngine's two loops, or the order of
            its data cannot be repeated.
    """
    if isinstance(loop, ExactTrainLoop):
        return
    if type(loop) not in _EXACT:
        raise ValueError(
            'Invalid `train_cfg.type`: expected EpochBasedTrainLoop or '
            'IterBasedTrainLoop, which `ExactResumeHook` can resume exactly, got '
            f'{type(loop).__name__}. Remove `type`, or remove the hook and accept '
            'that a resumed run differs.'
        )
    loop.__class__ = _EXACT[type(loop)]
    if isinstance(loop, IterBasedTrainLoop):
        # It has started to load, possibly in workers: stop them.
        del loop.dataloader_iterator
        loop.dataloader._iterator = None
    loop.batches = SeededBatches.install(loop.dataloader, loop.runner.seed)
