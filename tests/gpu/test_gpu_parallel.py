# Copyright (c) mmdckd contributors. All rights reserved.
"""Processes that share a step: nccl and gloo, DDP, SyncBatchNorm."""

import multiprocessing
import socket
import traceback

import pytest
import torch
import torch.distributed as torch_dist
from mmengine.model import MMDistributedDataParallel, convert_sync_batchnorm
from mmengine.optim import OptimWrapper
from small import TOLERANCES, amp, cohort, flat

from helpers.networks import digits

pytestmark = pytest.mark.gpu


@pytest.fixture
def process_group(device):
    """A group of this process alone."""
    backend = 'nccl' if device.type == 'cuda' else 'gloo'
    torch_dist.init_process_group(
        backend, store=torch_dist.HashStore(), rank=0, world_size=1
    )
    yield backend
    torch_dist.destroy_process_group()


def trained(model, device, kind, wrap):
    optimizer = torch.optim.SGD(model.parameters(), 0.05, 0.9)
    if kind == 'float32':
        optim = OptimWrapper(optimizer)
    else:
        optim = amp(optimizer=optimizer, dtype=kind)
    trained = model
    if wrap:
        trained = MMDistributedDataParallel(
            module=model,
            device_ids=[0] if device.type == 'cuda' else None,
            broadcast_buffers=False,
            find_unused_parameters=False,
        )
    return [
        trained.train_step(digits(start=16 * step), optim)['loss'] for step in range(3)
    ]


@pytest.mark.parametrize('kind', ['float32', 'float16', 'bfloat16'])
def test_ddp_of_one_process_is_no_ddp(device, compare, process_group, kind):
    alone, wrapped = cohort(device), cohort(device)
    expected = trained(alone, device, kind, False)
    losses = trained(wrapped, device, kind, True)
    compare(
        'DDP of one process: losses',
        torch.stack(losses),
        torch.stack(expected),
        TOLERANCES['ddp'],
    )
    compare(
        'DDP of one process: weights',
        flat(wrapped.parameters()),
        flat(alone.parameters()),
        TOLERANCES['ddp'],
    )


def test_nccl_reduces(device, process_group):
    tensor = torch.arange(4.0, device=device)
    torch_dist.all_reduce(tensor)
    assert torch_dist.get_backend() == process_group
    assert tensor.tolist() == [0.0, 1.0, 2.0, 3.0]


def gradients(rank, number, cfg):
    """The gradients of a step on a part of a batch, by name."""
    model = convert_sync_batchnorm(cohort('cuda', **cfg), 'torch')
    size = 16 // number
    batch = {
        key: value[rank * size : (rank + 1) * size] for key, value in digits().items()
    }
    step = model
    if number > 1:
        step = MMDistributedDataParallel(
            module=model,
            device_ids=[0],
            broadcast_buffers=False,
            find_unused_parameters=False,
        )
    step.train_step(batch, OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0)))
    return {name: p.detach().cpu() for name, p in model.state_dict().items()}


def in_process(results, rank, number, port, cfg):
    """Two on one GPU, which nccl refuses and gloo does not."""
    try:
        torch.backends.cudnn.allow_tf32 = False
        torch.cuda.set_device(0)
        torch_dist.init_process_group(
            'gloo', init_method=f'tcp://127.0.0.1:{port}', rank=rank, world_size=number
        )
        state = gradients(rank, number, cfg)
        torch_dist.destroy_process_group()
        results.put((rank, {k: v.numpy() for k, v in state.items()}, None))
    except BaseException:
        results.put((rank, None, traceback.format_exc()))


@pytest.mark.parametrize(
    'cfg',
    [dict(), dict(teacher_trainable=True, teacher_norm_eval=False)],
    ids=['frozen_teacher', 'trainable_teacher'],
)
def test_sync_batch_norm(cuda, compare, cfg):
    """Two processes with half the batch each are one with all of it."""
    context = multiprocessing.get_context('spawn')
    results = context.Queue()
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        port = sock.getsockname()[1]
    processes = [
        context.Process(target=in_process, args=(results, rank, 2, port, cfg))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    try:
        answers = [results.get(timeout=100) for _ in processes]
    finally:
        for process in processes:
            process.join(10)
            if process.is_alive():
                process.kill()
    for _, _, error in answers:
        assert error is None, error
    expected = gradients(0, 1, cfg)
    for _, state, _ in answers:
        assert state.keys() == expected.keys()
        compare(
            'SyncBatchNorm: weights and statistics',
            flat(torch.from_numpy(state[key]) for key in expected),
            flat(expected.values()),
            TOLERANCES['sync_batch_norm'],
        )
