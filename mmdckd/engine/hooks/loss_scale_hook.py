# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional

from mmengine.hooks import Hook
from mmengine.optim import AmpOptimWrapper

from mmdckd.registry import HOOKS


@HOOKS.register_module()
class LossScaleHook(Hook):
    """Logs the scale of the loss in mixed precision, and how many steps it
    has cost.

    Where a scaled gradient is not finite, PyTorch's scaler skips the step and
    lowers the scale. ``amp/scale`` is the scale after the iteration, and
    ``amp/skipped_steps`` the number of steps skipped since the run began, in
    resumed runs too. Without ``AmpOptimWrapper`` it does nothing.

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.LossScaleHook')]
    """

    # Before the logger, which shows what was counted.
    priority = 'NORMAL'

    def __init__(self) -> None:
        self._stepped = False
        self._handle = None

    def before_train(self, runner) -> None:
        """Have the optimizer tell when it steps."""
        if isinstance(runner.optim_wrapper, AmpOptimWrapper):
            optimizer = runner.optim_wrapper.optimizer
            self._handle = optimizer.register_step_post_hook(self._after_step)

    def _after_step(self, optimizer, args: tuple, kwargs: dict) -> None:
        # A fused optimizer is always called, and skips by itself.
        found_inf = getattr(optimizer, 'found_inf', None)
        self._stepped = found_inf is None or not found_inf.item()

    def after_train_iter(self,
                         runner,
                         batch_idx: int,
                         data_batch: Optional[dict] = None,
                         outputs: Optional[dict] = None) -> None:
        """Count the step, if there was to be one."""
        wrapper, hub = runner.optim_wrapper, runner.message_hub
        if not isinstance(wrapper, AmpOptimWrapper):
            return
        skipped = hub.get_info('amp_skipped_steps', 0)
        if wrapper.should_update() and not self._stepped:
            skipped += 1
            hub.update_info('amp_skipped_steps', skipped)
        self._stepped = False
        hub.update_scalar('train/amp/skipped_steps', skipped)
        hub.update_scalar('train/amp/scale', wrapper.loss_scaler.get_scale())

    def after_train(self, runner) -> None:
        """Let the optimizer alone."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None
