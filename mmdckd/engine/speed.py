# Copyright (c) mmdckd contributors. All rights reserved.
"""Settings that make a run faster."""

from mmengine.config import Config

from mmdckd.io.type_names import type_name

from .optimizers.cpu_amp import amp_type


def use_amp(wrapper: dict) -> None:
    """Make an optimizer wrapper train with automatic mixed precision.

    Args:
        wrapper (dict): Its config, changed in place.
    """
    wrapper['type'] = amp_type()
    # bfloat16 has the range of float32 and needs no loss scaling.
    scaled = wrapper.get('dtype') != 'bfloat16'
    wrapper.setdefault('loss_scale', 'dynamic' if scaled else dict(enabled=False))


def make_fast(cfg: Config) -> None:
    """Choose settings that are faster on most devices, with results that differ
    by rounding.

    Args:
        cfg (Config): The config of a run, changed in place.
    """
    if type_name(cfg.model.type) == 'CollectiveDistill':
        cfg.model.channels_last = True
    optimizer = (cfg.get('optim_wrapper') or {}).get('optimizer', {})
    if type_name(optimizer.get('type')) in ('SGD', 'Adam', 'AdamW'):
        optimizer.fused = True
    cfg.env_cfg = dict(cfg.get('env_cfg') or {}, cudnn_benchmark=True)
