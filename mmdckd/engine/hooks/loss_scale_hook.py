# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

import torch
from mmengine.hooks import Hook, LoggerHook
from mmengine.optim import AmpOptimWrapper

from mmdckd.names import with_stage
from mmdckd.registry import HOOKS


@HOOKS.register_module()
class LossScaleHook(Hook):
    """Logs the loss scale of mixed precision, and the steps that it skipped.

    If a scaled gradient is not finite, PyTorch's scaler skips the step and
    lowers the scale. ``amp/scale`` is the scale after the iteration, and
    ``amp/skipped_steps`` the number of skipped steps since the run began,
    across resumes (``amp_skipped_steps`` in the message hub). Both are read
    from the device only when the logger writes a line and before a checkpoint,
    so that other iterations do not wait for the device. Without a scaler, as in
    full precision or with ``loss_scale=dict(enabled=False)`` in bfloat16, it
    does nothing.

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.LossScaleHook')]
    """

    # Before the logger, which shows the count.
    priority = 'NORMAL'

    def __init__(self) -> None:
        self._stepped = False
        self._handle = None
        self._interval = 1
        # Skipped since the last count: known on the host, or on the device.
        self._skipped = 0
        self._skipped_there: Optional[torch.Tensor] = None

    def before_train(self, runner) -> None:
        """Register for the steps of the optimizer."""
        if not _has_scaler(runner):
            return
        self._interval = min(
            (hook.interval for hook in runner.hooks if isinstance(hook, LoggerHook)),
            default=1,
        )
        optimizer = runner.optim_wrapper.optimizer
        self._handle = optimizer.register_step_post_hook(self._after_step)

    def _after_step(self, optimizer, args: tuple, kwargs: dict) -> None:
        self._stepped = True
        # A fused optimizer is always called, and skips by itself.
        found_inf = getattr(optimizer, 'found_inf', None)
        if found_inf is not None:
            if self._skipped_there is None:
                self._skipped_there = torch.zeros_like(found_inf)
            self._skipped_there += found_inf

    def after_train_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: Optional[dict] = None,
        outputs: Optional[dict] = None,
    ) -> None:
        """Count a skipped step, and log at intervals."""
        if self._handle is None:
            return
        if runner.optim_wrapper.should_update() and not self._stepped:
            self._skipped += 1
        self._stepped = False
        if (
            self.every_n_train_iters(runner, self._interval)
            or self.every_n_inner_iters(batch_idx, self._interval)
            or self.end_of_epoch(runner.train_dataloader, batch_idx)
        ):
            hub, scaler = runner.message_hub, runner.optim_wrapper.loss_scaler
            hub.update_scalar(
                with_stage('train', 'amp/skipped_steps'), self._count(hub)
            )
            hub.update_scalar(with_stage('train', 'amp/scale'), scaler.get_scale())

    def _count(self, hub) -> int:
        """Update the count, and return it."""
        if self._skipped_there is not None:
            self._skipped += int(self._skipped_there)
            self._skipped_there = None
        skipped = hub.get_info('amp_skipped_steps', 0) + self._skipped
        self._skipped = 0
        hub.update_info('amp_skipped_steps', skipped)
        return skipped

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Record the count in the checkpoint."""
        if self._handle is not None:
            skipped = self._count(runner.message_hub)
            info = checkpoint['message_hub']['runtime_info']
            info['amp_skipped_steps'] = skipped

    def after_train(self, runner) -> None:
        """Unregister from the optimizer."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None


def _has_scaler(runner) -> bool:
    wrapper = runner.optim_wrapper
    return isinstance(wrapper, AmpOptimWrapper) and wrapper.loss_scaler.is_enabled()
