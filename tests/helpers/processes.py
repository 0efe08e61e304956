# Copyright (c) mmdckd contributors. All rights reserved.
"""Several processes on the CPU, talking through gloo, as a launcher starts
them."""

import multiprocessing
import os
import socket
import traceback

import torch.distributed


def run_processes(function, *args, number=2):
    """Call ``function(rank, *args)`` in each of some processes.

    Returns:
        list: What each returned.

    Raises:
        RuntimeError: With the traceback of one, where any raised.
    """
    context = multiprocessing.get_context('fork')
    results = context.Queue()
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        port = str(sock.getsockname()[1])
    processes = [
        context.Process(target=_run, args=(results, rank, number, port, function, args))
        for rank in range(number)
    ]
    for process in processes:
        process.start()
    answers = {}
    try:
        for _ in processes:
            rank, result, error = results.get(timeout=120)
            if error:
                raise RuntimeError(f'process {rank}: {error}')
            answers[rank] = result
    finally:
        for process in processes:
            if len(answers) < number:
                process.kill()
            process.join()
    return [answers[rank] for rank in range(number)]


def _run(results, rank, number, port, function, args):
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(number),
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=port,
    )
    try:
        torch.distributed.init_process_group('gloo')
        results.put((rank, function(rank, *args), None))
        if torch.distributed.is_initialized():
            # The first process serves the store that the others may still use.
            torch.distributed.barrier()
            torch.distributed.destroy_process_group()
    except BaseException:
        results.put((rank, None, traceback.format_exc()))
