# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict, List

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop
from torch import nn

from mmdckd.engine.own_samples import OwnSamples
from mmdckd.engine.unwrapping import unwrapped
from mmdckd.models.collectors import GeneralCollector
from mmdckd.models.collectors.labels import soft_labels
from mmdckd.registry import HOOKS


@HOOKS.register_module()
class MeasureErrorsHook(Hook):
    r"""Measures the errors of members on the validation split, for KDCL-General.

    .. math::
        E_{jk} = \frac{1}{V} \sum_{v=1}^{V}
                 (p_j(x_v) - y_v)^\top (p_k(x_v) - y_v)

    for every :class:`~mmdckd.models.collectors.GeneralCollector`, which computes
    its weights from these errors: its buffer ``errors`` is set. They are
    measured at the start of every ``train_cfg.val_interval``-th epoch (or
    iteration, in a run by iterations) with the current networks, and saved in
    checkpoints, so a resumed run has the same weights as one that was not
    interrupted. It takes one pass of the members over the validation split.

    Raises:
        ValueError: Before the first step, if there is no validation split, or
            no collector that needs it.

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.MeasureErrorsHook')]
    """

    def before_train(self, runner) -> None:
        """Check that there is a collector and a validation split."""
        if runner.val_loop is None:
            raise ValueError(
                'Invalid `val_dataloader`: expected a validation split, on which '
                'KDCL-General measures the errors of members, got none. Set '
                '`val_dataloader`, `val_cfg` and `val_evaluator`, or choose another '
                '`collector`.'
            )
        if not self._collectors(runner):
            raise ValueError(
                "Invalid `collector`: expected dict(type='general', ...) for "
                '`MeasureErrorsHook`, got another. Set it, or remove the hook.'
            )

    def check_settings(self, runner) -> None:
        """Check a run that will not be trained, as a rehearsal does."""
        self.before_train(runner)

    def before_train_epoch(self, runner) -> None:
        """Measure in a run by epochs."""
        loop = runner.train_loop
        # In the middle of an epoch, the errors measured before it still apply.
        inside = getattr(loop, 'start_samples', 0) > 0
        if (
            not isinstance(loop, IterBasedTrainLoop)
            and not inside
            and runner.epoch % loop.val_interval == 0
        ):
            self.measure(runner)

    def before_train_iter(self, runner, batch_idx: int, data_batch=None) -> None:
        """Measure in a run by iterations."""
        loop = runner.train_loop
        if (
            isinstance(loop, IterBasedTrainLoop)
            and runner.iter % loop.val_interval == 0
        ):
            self.measure(runner)

    @torch.no_grad()
    def measure(self, runner) -> None:
        """Measure the errors of all members now.

        Args:
            runner (Runner): The runner.
        """
        collectors = self._collectors(runner)
        names = {name for each in collectors.values() for name in each}
        model = unwrapped(runner.model)
        training = model.training
        model.eval()
        sums = {collector: torch.tensor(0.0) for collector in collectors}
        count = 0
        own = OwnSamples(runner.val_loop.dataloader)
        for data_batch in runner.val_loop.dataloader:
            data = model.data_preprocessor(data_batch, False)
            members = model.predict_members(
                **data, teacher=not names <= set(model.cohort.names)
            )
            number = own.take(len(data['data_samples']))
            wrong = {name: _errors(members[name])[:number] for name in names}
            count += number
            for collector, chosen in collectors.items():
                each = torch.stack([wrong[name] for name in chosen])
                sums[collector] = sums[collector] + torch.einsum(
                    'jbc,kbc->jk', each, each
                )
        model.train(training)
        for collector, total in sums.items():
            images = total.new_tensor(count)
            all_reduce(total)
            all_reduce(images)
            collector.errors = total / images

    @staticmethod
    def _collectors(runner) -> Dict[GeneralCollector, List[str]]:
        """Return the collectors, with the members that each collects from."""
        model = unwrapped(runner.model)
        found = {}
        for loss in model.distiller.collective_losses.values():
            for collector in _general(loss, 'collector'):
                teachers = model.teacher_names * collector.include_teacher
                found[collector] = model.cohort.names + teachers
            for collector in _general(loss, 'teacher_collector'):
                found[collector] = model.teacher_names
        return found


def _general(loss: nn.Module, key: str) -> List[GeneralCollector]:
    """Return the collectors that need errors, also those inside another one."""
    collector = getattr(loss, key, None)
    inside = [] if collector is None else collector.modules()
    return [each for each in inside if isinstance(each, GeneralCollector)]


def _errors(predictions: list) -> torch.Tensor:
    """Return the differences of B predictions and labels, (B, C) in float64."""
    scores = torch.stack([s.pred_score for s in predictions]).double()
    if 'gt_score' in predictions[0]:
        labels = torch.stack([s.gt_score for s in predictions])
    else:
        labels = torch.cat([s.gt_label for s in predictions])
    labels = soft_labels(labels.to(scores.device), scores.shape[1], scores.dtype)
    return scores - labels
