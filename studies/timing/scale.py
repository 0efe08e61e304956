# Copyright (c) mmdckd contributors. All rights reserved.
"""Measure throughput and memory of a training step of a cohort against the
number of students, of classes, the side of an image and of processes.

ResNet-56 teaches ResNet-20 of CIFAR's size. Throughput is images a second
through the whole cohort; `student-images` counts an image once for each
student. Memory is the peak of what a step allocates beside weights and
optimizer, counted tensor by tensor.

`processes` compares three ways to train two students on the same images, by
the time of the clock, as processes wait for each other:

- `one`: one process with all images of a batch;
- `data_parallel`: two processes with half the images each, MMEngine's
  MMDistributedDataParallel: gradients are averaged;
- `spread`: two processes with one student and all images each: logits are
  exchanged. Each runs the teacher on half the images. That a student learns
  the same as in one process is checked.
"""

import argparse
import logging
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from typing import Callable, Dict, List

# Before all of OpenMMLab, which it makes work on today's torch.
import mmdckd  # isort: skip  # noqa: F401
import torch
import torch.distributed as dist
from loss import Peak
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from rounds import alternate, append_json, milliseconds
from runs import COHORT, MEAN, STD, Run, Setting, cifar

from mmdckd.models.losses import DCKDLoss
from mmdckd.registry import MODELS

SGD = dict(lr=0.01, momentum=0.9, weight_decay=5e-4)


def step_of(
    setting: Setting, num_students: int, args: argparse.Namespace, **what
) -> dict:
    """Measure one cohort."""
    with tempfile.TemporaryDirectory() as folder:
        run = Run(setting, setting.collective(num_students), COHORT, folder)
        iterate = run.iterations(args.rounds + 3)
        iterate()
        with Peak() as peak:
            iterate()
        seconds = alternate(dict(step=iterate), args.rounds)['step']
    median = statistics.median(seconds)
    return dict(
        what,
        N=num_students,
        B=setting.batch_size,
        step_ms=milliseconds(seconds),
        images_per_s=round(setting.batch_size / median, 1),
        student_images_per_s=round(num_students * setting.batch_size / median, 1),
        peak_mib=round(peak.most / 2**20, 1),
    )


def against_students(args: argparse.Namespace) -> List[dict]:
    return [
        step_of(cifar(args.batch_size), n, args, against='students')
        for n in (1, 2, 4, 8, 16)
    ]


def against_classes(args: argparse.Namespace) -> List[dict]:
    return [
        step_of(cifar(args.batch_size, classes=c), 4, args, against='classes', C=c)
        for c in (10, 100, 1000, 21841)
    ]


def against_size(args: argparse.Namespace) -> List[dict]:
    return [
        step_of(cifar(args.batch_size, size=s), 4, args, against='size', side=s)
        for s in (16, 32, 64)
    ]


def _batch(start: int, stop: int, args: argparse.Namespace) -> dict:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (args.batch_size, 3, 32, 32), generator=generator)
    return dict(
        inputs=images[start:stop].to(torch.uint8),
        data_samples=[DataSample().set_gt_label(i % 10) for i in range(start, stop)],
    )


def _build(setting: Setting):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                setting.collective(2),
                data_preprocessor=dict(
                    type='ClsDataPreprocessor',
                    num_classes=setting.classes,
                    mean=MEAN,
                    std=STD,
                ),
            )
        )
    model.init_weights()
    return model.train()


def _one(args: argparse.Namespace, model=None) -> Callable[[], None]:
    model = model or _build(cifar(args.batch_size))
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), **SGD))
    batch = _batch(0, args.batch_size, args)
    return lambda: model.train_step(batch, optimizer)


def _data_parallel(args: argparse.Namespace) -> Callable[[], None]:
    model = MMDistributedDataParallel(
        module=_build(cifar(args.batch_size)), broadcast_buffers=False
    )
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), **SGD))
    half, rank = args.batch_size // 2, dist.get_rank()
    batch = _batch(rank * half, (rank + 1) * half, args)
    return lambda: model.train_step(batch, optimizer)


def _spread(args: argparse.Namespace, model=None) -> Callable[[], None]:
    model, rank = model or _build(cifar(args.batch_size)), dist.get_rank()
    student = model.cohort.students[model.cohort.names[rank]]
    optimizer = torch.optim.SGD(student.parameters(), **SGD)
    half, loss = args.batch_size // 2, DCKDLoss()
    batch = _batch(0, args.batch_size, args)

    def exchange(own: torch.Tensor) -> List[torch.Tensor]:
        parts = [torch.empty_like(own) for _ in range(2)]
        dist.all_gather(parts, own.detach().contiguous())
        return parts

    def step() -> None:
        data = model.data_preprocessor(batch, True)
        images = data['inputs']
        part = images[rank * half : (rank + 1) * half]
        with torch.no_grad():
            teacher = torch.cat(exchange(model.teachers[0].model(part, mode='tensor')))
        own = student(images, mode='tensor')
        students = exchange(own)
        students[rank] = own
        labels = torch.cat([s.gt_label for s in data['data_samples']])
        total = torch.nn.functional.cross_entropy(own, labels) + sum(
            term[rank] for term in loss(students, teacher, labels).values()
        )
        total.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def _check_spread(args: argparse.Namespace) -> None:
    """Make sure that a student that is alone in its process learns what it
    does in one process with the other.

    Raises:
        AssertionError: If it does not.
    """
    models = [_build(cifar(args.batch_size)) for _ in range(2)]
    _one(args, models[0])()
    _spread(args, models[1])()
    name = models[0].cohort.names[dist.get_rank()]
    together, alone = (model.cohort.students[name] for model in models)
    for key, value in together.state_dict().items():
        torch.testing.assert_close(alone.state_dict()[key], value, rtol=1e-3, atol=1e-4)


def _process(rank: int, port: str, args: argparse.Namespace, queue) -> None:
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE='2',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=port,
    )
    dist.init_process_group('gloo')
    _check_spread(args)
    ways = dict(data_parallel=_data_parallel(args), spread=_spread(args))
    seconds: Dict[str, List[float]] = {name: [] for name in ways}
    for number in range(args.rounds + 2):
        for name, way in ways.items():
            dist.barrier()
            start = time.perf_counter()
            way()
            dist.barrier()
            if number > 1:
                seconds[name].append(time.perf_counter() - start)
    queue.put(seconds)
    dist.destroy_process_group()


def against_processes(args: argparse.Namespace) -> List[dict]:
    step = _one(args)
    alone: List[float] = []
    for number in range(args.rounds + 2):
        start = time.perf_counter()
        step()
        if number > 1:
            alone.append(time.perf_counter() - start)
    context = multiprocessing.get_context('spawn')
    queue = context.Queue()
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        port = str(sock.getsockname()[1])
    processes = [
        context.Process(target=_process, args=(rank, port, args, queue))
        for rank in range(2)
    ]
    for process in processes:
        process.start()
    seconds = [queue.get(timeout=600) for _ in processes][0]
    for process in processes:
        process.join()
    setting = cifar(args.batch_size)
    students = _build(setting).cohort
    numbers = sum(p.numel() for p in students.parameters())
    logits = args.batch_size * setting.classes
    return [
        dict(
            against='processes',
            N=2,
            B=args.batch_size,
            one_ms=milliseconds(alone),
            data_parallel_ms=milliseconds(seconds['data_parallel']),
            spread_ms=milliseconds(seconds['spread']),
            # Each process of two sends as much as it receives.
            data_parallel_kib_sent=round(numbers * 4 / 2**10, 1),
            spread_kib_sent=round((logits + logits // 2) * 4 / 2**10, 1),
        )
    ]


PARTS = dict(
    students=against_students,
    classes=against_classes,
    size=against_size,
    processes=against_processes,
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--against', nargs='+', choices=list(PARTS), default=list(PARTS)
    )
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--out', help='a file of JSON lines')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    for part in args.against:
        for result in PARTS[part](args):
            print(result, flush=True)
            if args.out:
                append_json(args.out, result)


if __name__ == '__main__':
    main()
