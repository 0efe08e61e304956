# Copyright (c) mmdckd contributors. All rights reserved.
from typing import List

from mmengine.hooks import Hook
from mmengine.runner.base_loop import BaseLoop

from mmdckd.engine.unwrapping import unwrapped
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.models.weights import check_pretrained_parts
from mmdckd.registry import HOOKS

from ..checks import (
    check_by_epoch,
    check_checkpoint,
    check_custom_keys,
    check_early_stops,
    check_equal_parts,
    check_ignored_settings,
    check_monitors,
    check_single_images,
    check_stopped_distillation,
    check_unlabeled_images,
)
from ..loops import CollectiveTestLoop


@HOOKS.register_module()
class CheckRunHook(Hook):
    """Stops a run before its first step if it would silently do something other
    than its config says.

    - A checkpoint that is resumed, started from or tested, or that ``init_cfg``
      of a part of a network names, must fit
      (:func:`~mmdckd.io.checkpoints.require_fit`).
    - Every metric that checkpoints, early stopping, schedulers or the
      validation loop depend on must exist. The log says by which one the best
      student is chosen.
    - In a run by iterations, checkpoints and schedulers must not wait for the end
      of an epoch, which is that of the run.
    - Where ``EarlyStoppingHook`` may stop the training, a checkpoint must be saved,
      unless ``save_last=False``.
    - ``custom_keys`` of the optimizer must match parameters.
    - No setting may be one that MMEngine ignores, such as a misspelled
      ``norm_decay_mult``, or that ends the run at its first checkpoint.
    - A loss that uses labels needs them for all images, and batches must mix
      images with and without labels.
    - A batch of one image, the last of an epoch, must not reach a BatchNorm
      layer that sees one value per channel.
    - All processes must have the same number of batches. Parameters that have no
      gradient after ``StopDistillHook`` need ``find_unused_parameters=True`` there.

    :class:`~mmdckd.engine.hooks.CheckLabelsHook` compares class names.

    Raises:
        ValueError: The message names the config key, what was expected and what
            was found.

    Examples:
        >>> default_hooks = dict(check_run=dict(type='mmdckd.CheckRunHook'))
    """

    # Before any hook that reads something from a checkpoint.
    priority = 'VERY_HIGH'

    def __init__(self) -> None:
        self._handles: List = []
        self._metrics_known = True

    def before_run(self, runner) -> None:
        """Check the settings, and the weights that parts of a network load."""
        if not isinstance(runner._train_loop, BaseLoop):
            return
        check_ignored_settings(runner)
        model = unwrapped(runner.model)
        if not isinstance(model, CollectiveDistill):
            # A cohort checks its members itself.
            check_pretrained_parts(model, 'model')
        cfg = runner.cfg.get('optim_wrapper') or {}
        if isinstance(cfg, dict):
            paramwise = cfg.get('paramwise_cfg') or {}
            check_custom_keys(model, paramwise.get('custom_keys') or {})

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Check that a checkpoint fits."""
        check_checkpoint(runner, checkpoint)

    def before_train(self, runner) -> None:
        """Check the processes, the units of time, the metrics and the batches."""
        check_equal_parts(runner.train_dataloader)
        check_stopped_distillation(runner)
        check_by_epoch(runner)
        self._metrics_known = check_monitors(runner)
        check_early_stops(runner)
        check_unlabeled_images(unwrapped(runner.model), runner.train_dataloader)
        self._handles = check_single_images(
            unwrapped(runner.model), runner.train_dataloader
        )

    def check_settings(self, runner) -> None:
        """Check a run that will not be trained, as a rehearsal does."""
        self.before_run(runner)
        self.before_train(runner)

    def after_val_epoch(self, runner, metrics=None) -> None:
        """Check the metrics if they were not known before."""
        if not self._metrics_known:
            self._metrics_known = check_monitors(runner, metrics)

    def before_test(self, runner) -> None:
        """Check that the best student can be chosen, if it must be."""
        loop = runner.test_loop
        if isinstance(loop, CollectiveTestLoop) and (
            loop.monitor or runner.message_hub.get_info('best_student') is None
        ):
            loop.metrics_to_come()

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Remove the checks that watch the first step."""
        while self._handles:
            self._handles.pop().remove()
