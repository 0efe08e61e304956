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
    """Saves the state of a run that stops because a loss is not finite.

    The checkpoint, ``stopped_at_iter_<n>.pth`` in the work folder, has the
    weights, statistics and optimizer from before the failed iteration;
    ``--resume`` without a path ignores it. The cohort requests it through its
    attribute ``before_stop``. The hook does nothing for a model without a
    cohort.

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.SaveOnNonFiniteHook')]
    """

    def before_train(self, runner) -> None:
        """Make the model request a checkpoint before it stops, through its
        ``before_stop``."""
        model = unwrapped(runner.model)
        if isinstance(model, CollectiveDistill):
            model.before_stop = partial(self._save, runner)

    def after_train(self, runner) -> None:
        """Release the runner."""
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
        # The first process that exits ends the others.
        barrier()
        return osp.join(runner.work_dir, name)
