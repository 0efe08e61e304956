# Copyright (c) mmdckd contributors. All rights reserved.
"""Processes that share a step: nccl and gloo, DDP, SyncBatchNorm."""

import copy
import multiprocessing
import os
import socket
import traceback

import pytest
import torch
import torch.distributed as torch_dist
from mmengine.model import MMDistributedDataParallel, convert_sync_batchnorm
from mmengine.optim import OptimWrapper
from small import DCKD, TOLERANCES, amp, cohort, flat

from helpers.networks import digits
from helpers.spread import assert_close, config, load, run
from mmdckd.engine.optimizers.cpu_amp import amp_type

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


def in_processes(function, *args, backend='gloo'):
    """Call ``function(rank, 2, *args)`` in two processes on one device.

    nccl refuses two processes of one host on one GPU, so each says that it is on
    a host of its own; they talk through sockets then.
    """
    context = multiprocessing.get_context('spawn')
    results = context.Queue()
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        port = sock.getsockname()[1]
    processes = [
        context.Process(
            target=in_process, args=(results, rank, port, backend, function, args)
        )
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
    return [answer for _, answer, _ in sorted(answers, key=lambda each: each[0])]


def in_process(results, rank, port, backend, function, args):
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE='2',
        LOCAL_RANK='0',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(port),
        NCCL_HOSTID=f'host{rank}',
        NCCL_SOCKET_IFNAME='lo',
        NCCL_IB_DISABLE='1',
    )
    try:
        torch.backends.cudnn.allow_tf32 = False
        if torch.cuda.is_available():
            torch.cuda.set_device(0)
        torch_dist.init_process_group(backend)
        answer = function(rank, 2, *args)
        torch_dist.barrier()
        torch_dist.destroy_process_group()
        results.put((rank, answer, None))
    except BaseException:
        results.put((rank, None, traceback.format_exc()))


def state(rank, number, cfg):
    """The state of a cohort after a step on a part of a batch, by name."""
    model = convert_sync_batchnorm(cohort('cuda', **copy.deepcopy(cfg)), 'torch')
    size = 16 // number
    data = digits()
    for index, sample in enumerate(data['data_samples']):
        # Processes see different numbers of images of a fold.
        sample.set_metainfo(dict(fold=int(index % 8 in (1, 4) or index > 12)))
    batch = {key: value[rank * size : (rank + 1) * size] for key, value in data.items()}
    step = model
    if number > 1:
        step = MMDistributedDataParallel(
            module=model,
            device_ids=[0],
            broadcast_buffers=False,
            find_unused_parameters=False,
        )
    step.train_step(batch, OptimWrapper(torch.optim.SGD(model.parameters(), lr=1.0)))
    return {name: p.detach().cpu().numpy() for name, p in model.state_dict().items()}


def assert_same_state(compare, cfg, what, names=lambda name: True):
    expected = state(0, 1, cfg)
    chosen = [name for name in expected if names(name)]
    for found in in_processes(state, cfg):
        assert found.keys() == expected.keys()
        compare(
            f'SyncBatchNorm: {what}',
            flat(torch.from_numpy(found[name]) for name in chosen),
            flat(torch.from_numpy(expected[name]) for name in chosen),
            TOLERANCES['sync_batch_norm'],
        )


@pytest.mark.parametrize(
    'cfg',
    [dict(), dict(teacher_trainable=True, teacher_norm_eval=False)],
    ids=['frozen_teacher', 'trainable_teacher'],
)
def test_sync_batch_norm(cuda, compare, cfg):
    """Two processes with half the batch each are one with all of it."""
    assert_same_state(compare, cfg, 'weights and statistics')


def test_sync_batch_norm_with_held_out_predictions(cuda, compare):
    """Statistics are those of all images that a student sees; predictions of
    held-out images use those of a process, so weights differ."""
    loss = dict(type='mmdckd.DCKDLoss', collector='held_out')
    cfg = dict(
        num_students=4,
        folds=dict(num_folds=2),
        distiller=dict(DCKD, collective_losses=dict(loss_dckd=loss)),
    )
    assert_same_state(
        compare, cfg, 'statistics of folds', lambda name: 'running_' in name
    )


def whole_run(work_dir, kind):
    """A run of two epochs with students in processes of their own."""
    cfg = config(work_dir)
    cfg.randomness = dict(seed=1, deterministic=True)
    # AdamW would multiply what rounding differs by.
    cfg.optim_wrapper.optimizer = dict(type='SGD', lr=0.01, momentum=0.9)
    if kind != 'float32':
        cfg.optim_wrapper.update(type=amp_type(), dtype=kind)
    return cfg


@pytest.mark.parametrize(
    'backend, kind', [('gloo', 'float32'), ('nccl', 'float32'), ('nccl', 'float16')]
)
def test_students_in_processes_of_their_own(device, measure, tmp_path, backend, kind):
    """`parallel='cohort'` in two processes is a run in one."""
    if device.type == 'cpu' and backend == 'nccl':
        pytest.skip('nccl is for GPUs')
    alone = run(0, 1, whole_run(tmp_path / 'one', kind))
    cfg = whole_run(tmp_path / 'two', kind)
    first, second = in_processes(run, cfg, backend=backend)
    assert first['logged'] == second['logged']
    assert list(first['logged']) == list(alone['logged'])
    # One of two students each.
    assert alone['held'] / 2 <= first['held'] < alone['held'] * 0.51
    limit = TOLERANCES['cohort_run'] if kind == 'float32' else TOLERANCES['amp_float16']
    for name, value in alone['logged'].items():
        if 'loss' in name:
            difference = abs(first['logged'][name] - value) / max(1.0, abs(value))
            measure(f'{backend}, {kind}: {name}', difference, limit)
    if kind == 'float32':
        assert_close(load(tmp_path / 'one'), load(tmp_path / 'two'), limit)
