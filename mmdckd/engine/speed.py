# Copyright (c) mmdckd contributors. All rights reserved.
"""Settings of a config that make its run faster."""

from mmengine.config import Config

from .optimizers.cpu_amp import amp_type


def use_amp(wrapper: dict) -> None:
    """Let an optimizer wrapper train with automatic mixed precision.

    Args:
        wrapper (dict): Its config, changed in place.
    """
    wrapper['type'] = amp_type()
    # bfloat16 has the range of float32: there is nothing to scale.
    scaled = wrapper.get('dtype') != 'bfloat16'
    wrapper.setdefault('loss_scale', 'dynamic' if scaled else dict(enabled=False))


def make_fast(cfg: Config) -> None:
    """Choose what is faster on most devices and differs by rounding.

    Args:
        cfg (Config): The config of a run, changed in place.
    """
    if cfg.model.type == 'mmdckd.CollectiveDistill':
        cfg.model.channels_last = True
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer', {})
    if optimizer.get('type') in ('SGD', 'Adam', 'AdamW'):
        optimizer.fused = True
    cfg.setdefault('env_cfg', {})['cudnn_benchmark'] = True
