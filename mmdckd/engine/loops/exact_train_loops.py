# Copyright (c) mmdckd contributors. All rights reserved.
"""MMEngine's loops, able to begin where a run was interrupted.

They are not registered: :class:`~mmdckd.engine.hooks.ExactResumeHook` gives
the loop of a run the class from here, so that ``train_cfg`` stays what it is.
"""

from contextlib import ExitStack, closing
from typing import Generator, Optional, Sequence

from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from mmengine.runner.base_loop import BaseLoop
from torch import nn

from mmdckd.engine.randomness import Draw, seed_all

from .seeded_batches import SeededBatches


class ExactTrainLoop(BaseLoop):
    """What both loops share.

    Attributes:
        batches (SeededBatches): Where in the data the run is.
        start_epoch (int): The pass over the data that the run begins in.
        start_samples (int): How many samples of it were trained on before;
            0 once the pass has begun.
        at_end (ExitStack): What is done when the training is over, be it by
            an exception; for hooks to add to from ``before_train`` on.
    """

    batches: SeededBatches
    start_epoch = 0
    start_samples = 0
    at_end: ExitStack

    def run(self) -> nn.Module:
        """Launch training."""
        with ExitStack() as self.at_end:
            self.runner.call_hook('before_train')
            self._train()
            self.runner.call_hook('after_train')
        return self.runner.model

    def _train(self) -> None:
        raise NotImplementedError

    def resume(
        self, epoch: int, samples: int, sampler_seed: Optional[int] = None
    ) -> None:
        """Begin where a checkpoint was saved.

        Args:
            epoch (int): The pass over the data.
            samples (int): How many samples of it were trained on.
            sampler_seed (int, optional): The seed of the sampler, if it has
                one. Defaults to None.
        """
        self.start_epoch = epoch
        self.start_samples = samples
        # Where a checkpoint is that is saved before the next step.
        self.batches.epoch, self.batches.samples = epoch, samples
        if sampler_seed is not None:
            self.batches.index_sampler.seed = sampler_seed

    def _seed(self, draw: Draw) -> None:
        seed_all(self.runner.seed, draw, self._iter)

    def _step(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Train on a batch, as MMEngine's loops do."""
        runner = self.runner
        # The hooks of a run that begins may draw more than others do.
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
        """Validate.

        Args:
            time (int): How many epochs, or iterations, were trained.
            end (int): How many there will be.
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
        """Validate where the run was interrupted before it had, by
        ``last_val_iter`` in the message hub, which ``ExactResumeHook`` notes.
        """
        validated = self.runner.message_hub.get_info('last_val_iter')
        if 0 < self._iter != validated:
            self._validate_if_due(time, end)


class ExactEpochTrainLoop(ExactTrainLoop, EpochBasedTrainLoop):
    """Trains by epochs, and may begin inside one."""

    def resume(
        self, epoch: int, samples: int, sampler_seed: Optional[int] = None
    ) -> None:
        """Begin where a checkpoint was saved, maybe after its epoch."""
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
        """Iterate one epoch, or what is left of it."""
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
        """Iterate one batch."""
        self._step(idx, data_batch)


class ExactIterTrainLoop(ExactTrainLoop, IterBasedTrainLoop):
    """Trains by iterations, and loads nothing that was trained on."""

    def _train(self) -> None:
        # To MMEngine the whole training is one epoch.
        self.runner.call_hook('before_train_epoch')
        self._make_up_validation(self._iter, self._max_iters)
        # Closed, so that its workers end now and not with this process.
        with closing(self._passes()) as self.dataloader_iterator:
            while self._iter < self._max_iters and not self.stop_training:
                self.runner.model.train()
                self.run_iter(next(self.dataloader_iterator))
                self._validate_if_due(self._iter, self._max_iters)
        self._seed(Draw.AFTER_EPOCH)
        self.runner.call_hook('after_train_epoch')

    def run_iter(self, data_batch: Sequence[dict]) -> None:
        """Iterate one batch."""
        self._step(self._iter, data_batch)

    def _passes(self) -> Generator[Sequence[dict], None, None]:
        """The batches of one pass over the data after another."""
        epoch, samples = self.start_epoch, self.start_samples
        self.start_samples = 0
        while True:
            self.batches.begin(epoch, samples)
            yield from self.dataloader
            if not self.batches.samples:
                raise ValueError(
                    '`train_dataloader` has not one batch: its '
                    'dataset is smaller than `batch_size`, and '
                    '`drop_last` is set.'
                )
            epoch, samples = epoch + 1, 0


_EXACT = {
    EpochBasedTrainLoop: ExactEpochTrainLoop,
    IterBasedTrainLoop: ExactIterTrainLoop,
}


def make_exact(loop: BaseLoop) -> None:
    """Let a loop of MMEngine begin where a run was interrupted.

    The loop keeps its state; only its class changes, and what its dataloader
    asks for batches (:meth:`SeededBatches.install`). The runner built it from
    ``train_cfg``, and others may hold it already.

    Args:
        loop (BaseLoop): The loop, which has not begun.

    Raises:
        ValueError: If it is neither of MMEngine's two, or its data has no
            order that can be repeated.
    """
    if isinstance(loop, ExactTrainLoop):
        return
    if type(loop) not in _EXACT:
        raise ValueError(
            '`ExactResumeHook` resumes the loops of '
            '`train_cfg=dict(by_epoch=...)`, and '
            f'`train_cfg.type` is {type(loop).__name__}: leave `type` out, or '
            'the hook, without which a resumed run is another run.'
        )
    loop.__class__ = _EXACT[type(loop)]
    if isinstance(loop, IterBasedTrainLoop):
        # It has begun to load, in workers where there are any: stop them.
        del loop.dataloader_iterator
        loop.dataloader._iterator = None
    loop.batches = SeededBatches.install(loop.dataloader, loop.runner.seed)
