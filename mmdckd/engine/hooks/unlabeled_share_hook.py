# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional, Sequence

from mmengine.hooks import Hook

from mmdckd.models.tasks.labels import is_unlabeled
from mmdckd.names import with_stage
from mmdckd.registry import HOOKS

from ..checks.unlabeled_images import has_unlabeled

SEEN = 'seen_images'


@HOOKS.register_module()
class UnlabeledShareHook(Hook):
    """Logs the share of images without labels among those that a run has seen.

    ``unlabeled_share`` counts every image as often as it was trained on since
    the run began, across resumes; with several processes, it is the share of
    the first. It is logged if training has images without labels
    (:class:`~mmdckd.datasets.Unlabeled`).

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.UnlabeledShareHook')]
    """

    def before_train(self, runner) -> None:
        """Check whether there are unlabeled images."""
        self._counts = has_unlabeled(runner.train_loop.dataloader.dataset)

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: Optional[dict] = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Count before the logger writes."""
        if not self._counts or not isinstance(data_batch, dict):
            return
        samples: Sequence = data_batch['data_samples']
        # In the message hub, which is part of a checkpoint.
        unlabeled, seen = runner.message_hub.get_info(SEEN, (0, 0))
        unlabeled += sum(map(is_unlabeled, samples))
        seen += len(samples)
        runner.message_hub.update_info(SEEN, (unlabeled, seen))
        runner.message_hub.update_scalar(
            with_stage('train', 'unlabeled_share'), unlabeled / seen
        )
