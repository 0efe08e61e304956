# Copyright (c) mmdckd contributors. All rights reserved.
"""Processes without an accelerator; tests/runs/distributed trains in them."""

import os
import socket

import pytest
import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.runner import Runner

from helpers.processes import run_processes
from helpers.runs import run_config
from mmdckd.engine import cpu_processes
from mmdckd.engine.cpu_processes import CPUDataParallel, use_cpu_processes

WRAPPER = 'mmdckd.CPUDataParallel'


@pytest.fixture(autouse=True)
def cpu(monkeypatch):
    monkeypatch.setattr(cpu_processes, 'get_device', lambda: 'cpu')


@pytest.mark.parametrize(
    'given, wrapper',
    [
        ({}, dict(broadcast_buffers=False, find_unused_parameters=False)),
        (
            dict(find_unused_parameters=True),
            dict(broadcast_buffers=False, find_unused_parameters=True),
        ),
        (
            dict(model_wrapper_cfg=dict(find_unused_parameters=True)),
            dict(find_unused_parameters=True),
        ),
        (dict(model_wrapper_cfg=dict(type=MMDistributedDataParallel)), {}),
    ],
)
def test_the_wrapper_is_that_of_the_cpu(given, wrapper, monkeypatch):
    monkeypatch.setattr(cpu_processes, 'is_distributed', lambda: True)
    cfg = Config(dict(given, launcher='pytorch'))
    use_cpu_processes(cfg)
    assert cfg.model_wrapper_cfg == dict(wrapper, type=WRAPPER)


def test_another_wrapper_is_kept(monkeypatch):
    monkeypatch.setattr(cpu_processes, 'is_distributed', lambda: True)
    cfg = Config(dict(launcher='pytorch', model_wrapper_cfg=dict(type='Mine')))
    use_cpu_processes(cfg)
    assert cfg.model_wrapper_cfg == dict(type='Mine')


def test_nothing_is_done_without_need(monkeypatch):
    cfg = Config(dict(launcher='none'))
    use_cpu_processes(cfg)
    monkeypatch.setattr(cpu_processes, 'get_device', lambda: 'cuda')
    monkeypatch.setenv('RANK', '0')
    launched = Config(dict(launcher='pytorch'))
    use_cpu_processes(launched)
    assert 'model_wrapper_cfg' not in cfg and 'model_wrapper_cfg' not in launched


@pytest.mark.parametrize('device', ['cpu', 'cuda'])
@pytest.mark.parametrize(
    'launcher, variable',
    [('pytorch', 'RANK'), ('slurm', 'SLURM_PROCID'), ('mpi', 'OMPI_COMM_WORLD_RANK')],
)
def test_a_process_without_its_launcher_is_refused(
    launcher, variable, device, monkeypatch
):
    monkeypatch.setattr(cpu_processes, 'get_device', lambda: device)
    monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ValueError, match=f'`launcher`: .* sets {variable}.*, got'):
        use_cpu_processes(Config(dict(launcher=launcher)))


def test_slurm_and_mpi_say_who_a_process_is(monkeypatch):
    for key in ('RANK', 'WORLD_SIZE', 'LOCAL_RANK', 'MASTER_ADDR', 'MASTER_PORT'):
        monkeypatch.setenv(key, 'before')
    for launcher, variables in cpu_processes.LAUNCHERS.items():
        for key, variable in variables.items():
            monkeypatch.setenv(variable, f'{launcher} {key}')
        cpu_processes._name_ranks(launcher)
        for key in variables:
            assert os.environ[key] == f'{launcher} {key}'


def build(rank, cfg, port):
    torch.distributed.destroy_process_group()  # as a launcher starts a process
    os.environ['MASTER_PORT'] = port  # the old one may still be closing
    use_cpu_processes(cfg)
    model = Runner.from_cfg(cfg).model
    return type(model) is CPUDataParallel, torch.distributed.get_backend()


def test_a_launched_runner_is_built(tmp_path):
    cfg = run_config(tmp_path, launcher='pytorch')
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = str(free.getsockname()[1])
    assert run_processes(build, cfg, port) == [(True, 'gloo')] * 2
