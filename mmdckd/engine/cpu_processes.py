# Copyright (c) mmdckd contributors. All rights reserved.
"""Several processes where there is no accelerator, talking through gloo."""

from typing import Any

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.model import MMDistributedDataParallel

from mmdckd.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class CPUDataParallel(MMDistributedDataParallel):
    """``MMDistributedDataParallel`` for a model on the CPU.

    MMEngine's runner gives every wrapper ``device_ids``, which PyTorch refuses
    where the model is on the CPU.

    Args:
        *args: Those of ``MMDistributedDataParallel``.
        device_ids (Any): Ignored. Defaults to None.
        **kwargs: Those of ``MMDistributedDataParallel``.
    """

    def __init__(self, *args, device_ids: Any = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)


def use_cpu_processes(cfg: Config) -> None:
    """Prepare a config for processes without an accelerator.

    MMEngine's launchers call ``torch.cuda.set_device``. Here the processes
    that ``torchrun`` has started join a gloo group, and the model is wrapped in
    :class:`CPUDataParallel`. With an accelerator, or without a launcher,
    nothing happens.

    Args:
        cfg (Config): The config of the run, changed in place.

    Raises:
        ValueError: If there is no accelerator, and the launcher is neither
            'pytorch' nor 'none'.
    """
    launcher = cfg.get('launcher', 'none')
    if launcher == 'none' or get_device() != 'cpu':
        return
    if not is_distributed():
        if launcher != 'pytorch':
            raise ValueError(
                "Invalid `launcher`: expected 'pytorch' where there is no "
                f'accelerator, got {launcher!r}.'
            )
        torch.distributed.init_process_group('gloo')
    wrapper = cfg.get('model_wrapper_cfg') or dict(
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    if wrapper.get('type', 'MMDistributedDataParallel') == 'MMDistributedDataParallel':
        cfg.model_wrapper_cfg = dict(wrapper, type='mmdckd.CPUDataParallel')
