# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from functools import partial

from mmengine.dist import barrier
from mmengine.hooks import Hook

from mmdckd.engine.saving import save_whole
from mmdckd.engine.unwrapping import unwrapped
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.registry import HOOKS


@HOOKS.register_module()
class SaveOnNonFiniteHook(Hook):
    """Saves the state of a run that a loss which is not finite stops.

    The checkpoint, ``stopped_at_iter_<n>.pth`` in the work folder, has the
    weights, statistics and optimizer of before the iteration that could not
    be made; ``--resume`` without a path does not take it. The cohort calls for
    it by its attribute ``before_stop``. A model that is no cohort is left
    alone.

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.SaveOnNonFiniteHook')]
    """

    def before_train(self, runner) -> None:
        """Have the model call for a checkpoint before it stops, by its
        ``before_stop``."""
        model = unwrapped(runner.model)
        if isinstance(model, CollectiveDistill):
            model.before_stop = partial(self._save, runner)

    def after_train(self, runner) -> None:
        """Let go of the runner."""
        model = unwrapped(runner.model)
        if isinstance(model, CollectiveDistill):
            model.before_stop = None

    @staticmethod
    def _save(runner) -> str:
        name = f'stopped_at_iter_{runner.iter}.pth'
        save_whole(
            runner,
            runner.work_dir,
            name,
            meta=dict(epoch=runner.epoch, iter=runner.iter),
        )
        # The first process to end takes the others with it.
        barrier()
        return osp.join(runner.work_dir, name)
