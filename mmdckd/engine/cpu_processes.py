# Copyright (c) mmdckd contributors. All rights reserved.
"""Distributed training on CPUs, with gloo."""

import os
import subprocess
from typing import Any, Dict

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_distributed
from mmengine.model import MMDistributedDataParallel

from mmdckd.errors import invalid
from mmdckd.io.type_names import type_name
from mmdckd.registry import MODEL_WRAPPERS

#: For each launcher, the environment variables that hold what PyTorch needs.
#: PyTorch's own launcher sets PyTorch's variables.
LAUNCHERS: Dict[str, Dict[str, str]] = dict(
    pytorch={},
    slurm=dict(
        RANK='SLURM_PROCID', WORLD_SIZE='SLURM_NTASKS', LOCAL_RANK='SLURM_LOCALID'
    ),
    mpi=dict(
        RANK='OMPI_COMM_WORLD_RANK',
        WORLD_SIZE='OMPI_COMM_WORLD_SIZE',
        LOCAL_RANK='OMPI_COMM_WORLD_LOCAL_RANK',
    ),
)


@MODEL_WRAPPERS.register_module()
class CPUDataParallel(MMDistributedDataParallel):
    """``MMDistributedDataParallel`` for a model on the CPU.

    MMEngine's runner passes ``device_ids`` to every wrapper, which PyTorch
    rejects for a model on the CPU.

    Args:
        *args: Arguments of ``MMDistributedDataParallel``.
        device_ids (Any): Ignored. Defaults to None.
        **kwargs: Arguments of ``MMDistributedDataParallel``.
    """

    def __init__(self, *args, device_ids: Any = None, **kwargs) -> None:
        super().__init__(*args, **kwargs)


def use_cpu_processes(cfg: Config) -> None:
    """Prepare a config for several processes without an accelerator.

    MMEngine's launchers call ``torch.cuda.set_device``. Here the launched
    processes join a gloo group, and the model is wrapped in
    :class:`CPUDataParallel`. With an accelerator or without a launcher, this
    changes nothing.

    Args:
        cfg (Config): The config of the run, changed in place.

    Raises:
        ValueError: If the launcher of the config did not start this process.
    """
    launcher = cfg.get('launcher', 'none')
    if launcher not in LAUNCHERS:
        return
    joined = is_distributed()
    if not joined:
        _check_started(launcher)
    if get_device() != 'cpu':
        return
    if not joined:
        _name_ranks(launcher)
        torch.distributed.init_process_group('gloo')
    wrapper = cfg.get('model_wrapper_cfg') or dict(
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
    kind = wrapper.get('type', 'MMDistributedDataParallel')
    if type_name(kind) == 'MMDistributedDataParallel':
        cfg.model_wrapper_cfg = dict(wrapper, type='mmdckd.CPUDataParallel')


def _check_started(launcher: str) -> None:
    for variable in LAUNCHERS[launcher].values() or ['RANK']:
        if variable not in os.environ:
            started = f'a process that {launcher} started (it sets {variable})'
            raise invalid('launcher', f"'none' or {started}", launcher)


def _name_ranks(launcher: str) -> None:
    """Set the environment variables from which PyTorch reads the rank."""
    for key, variable in LAUNCHERS[launcher].items():
        os.environ[key] = os.environ[variable]
    os.environ.setdefault('MASTER_PORT', '29500')
    if launcher == 'slurm' and 'MASTER_ADDR' not in os.environ:
        nodes = ['scontrol', 'show', 'hostname', os.environ['SLURM_NODELIST']]
        os.environ['MASTER_ADDR'] = subprocess.check_output(nodes, text=True).split()[0]
