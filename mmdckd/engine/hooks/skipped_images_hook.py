# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Iterator, Optional

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook

from mmdckd.datasets import LoadImage
from mmdckd.names import with_stage
from mmdckd.registry import HOOKS

from ..data_group import data_group
from ..inner_datasets import inner_datasets


@HOOKS.register_module()
class SkippedImagesHook(Hook):
    """Logs how many times training skipped a broken image.

    ``skipped_images`` counts over all workers and processes since the run
    began, across resumes. It counts loaded images, some of which are in batches
    to come. It is logged if training uses a
    :class:`~mmdckd.datasets.LoadImage` with ``on_broken='skip'``.

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.SkippedImagesHook')]
    """

    #: Iterations between two counts.
    INTERVAL = 10

    def before_train(self, runner) -> None:
        """Find the transforms that load images."""
        self._loading = [
            transform
            for transform in _transforms(runner.train_loop.dataloader.dataset)
            if isinstance(transform, LoadImage) and transform.on_broken == 'skip'
        ]
        self._before = runner.message_hub.get_info('skipped_images', 0)

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: Optional[dict] = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Count before the logger writes."""
        loader = runner.train_loop.dataloader
        if self._loading and (
            self.every_n_train_iters(runner, self.INTERVAL)
            or self.end_of_epoch(loader, batch_idx)
        ):
            skipped = torch.tensor(sum(each.num_skipped for each in self._loading))
            all_reduce(skipped, group=data_group(runner.model))
            total = self._before + int(skipped)
            runner.message_hub.update_info('skipped_images', total)
            runner.message_hub.update_scalar(
                with_stage('train', 'skipped_images'), total
            )


def _transforms(dataset) -> Iterator:
    """Yield the transforms of a dataset, also inside MMEngine's wrappers."""
    yield from getattr(getattr(dataset, 'pipeline', None), 'transforms', ())
    for part in inner_datasets(dataset):
        yield from _transforms(part)
