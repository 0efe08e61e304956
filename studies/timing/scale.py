# Copyright (c) mmdckd contributors. All rights reserved.
"""Measure throughput and memory of a training step of a cohort against the
number of students, of classes, the side of an image and of processes.

ResNet-56 teaches ResNet-20 of CIFAR's size. Throughput is images a second
through the whole cohort; `student_images` counts an image once for each
student. Memory is the peak of what a step allocates beside weights and
optimizer, counted tensor by tensor. `memory` compares `model.memory='checkpoint'`
with the default.

`processes` compares two ways to train two students on the same images, by
wall time, as processes wait for each other:

- `data`: two processes with half the images each, MMEngine's
  MMDistributedDataParallel: gradients are averaged;
- `cohort`: two processes with one student and all images each,
  `model.parallel='cohort'`: logits are exchanged.

For both, bytes are counted as they are passed to `torch.distributed`, and memory
is that of one process: weights and momentum (`held`), and the peak of what a step
allocates beside them. `teacher_images` is the number of images on which a process
runs the teacher.
"""

import argparse
import logging
import multiprocessing
import os
import socket
import statistics
import tempfile
import time
from typing import Dict, List
from unittest import mock

# It has to be imported before OpenMMLab's packages, to make them importable.
import mmdckd  # isort: skip  # noqa: F401
import torch
import torch.distributed as dist
from loss import Peak
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from rounds import alternate, append_json, milliseconds, ratio
from runs import COHORT, MEAN, STD, Run, Setting, cifar
from torch.distributed.algorithms.ddp_comm_hooks import default_hooks

from mmdckd.engine.unwrapping import unwrapped
from mmdckd.models.algorithms.spreading import spread
from mmdckd.models.cohorts.cohort_mesh import CohortMesh
from mmdckd.registry import MODELS

GATHER = dist.all_gather
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


def against_memory(args: argparse.Namespace) -> List[dict]:
    """Measure cohorts that keep or recompute activations, alternating."""
    return [result for n in (1, 2, 4, 8) for result in _kept_or_not(n, args)]


def _kept_or_not(num_students: int, args: argparse.Namespace) -> List[dict]:
    setting = cifar(args.batch_size)
    ways, peaks = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name, memory in (('kept', None), ('checkpoint', 'checkpoint')):
            model = dict(setting.collective(num_students), memory=memory)
            run = Run(setting, model, COHORT, folder)
            iterate = ways[name] = run.iterations(args.rounds + 4)
            iterate()
            with Peak() as peak:
                iterate()
            peaks[name] = peak.most
        seconds = alternate(ways, args.rounds, 2)
    return [
        dict(
            against='memory',
            way=name,
            N=num_students,
            B=setting.batch_size,
            step_ms=milliseconds(seconds[name]),
            times=ratio(seconds[name], seconds['kept']),
            peak_mib=round(peaks[name] / 2**20, 1),
        )
        for name in ways
    ]


def _batch(start: int, stop: int, args: argparse.Namespace) -> dict:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (args.batch_size, 3, 32, 32), generator=generator)
    return dict(
        inputs=images[start:stop].to(torch.uint8),
        data_samples=[DataSample().set_gt_label(i % 10) for i in range(start, stop)],
    )


def _build(setting: Setting, parallel: str = 'data'):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                setting.collective(2),
                parallel=parallel,
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


class Way:
    """Trains a cohort, and counts the bytes that this process sends.

    Args:
        model (nn.Module): The cohort, maybe in MMEngine's wrapper.
        batch (dict): The images of this process.
    """

    def __init__(self, model, batch: dict) -> None:
        self.model = model
        self.batch = batch
        self.sent = 0
        self.teacher_images = 0
        teacher = unwrapped(model).teachers[0].model
        teacher.register_forward_pre_hook(self._count)
        optimizer = torch.optim.SGD(model.parameters(), **SGD)
        self.wrapper = OptimWrapper(optimizer)

    def _count(self, module, args: tuple) -> None:
        self.teacher_images += len(args[0])

    def __call__(self) -> None:
        self.sent = self.teacher_images = 0
        with mock.patch.object(dist, 'all_gather', self._gather):
            self.model.train_step(self.batch, self.wrapper)

    def _gather(self, received, sent: torch.Tensor, group=None, async_op=False):
        self.sent += sent.nbytes
        return GATHER(received, sent, group, async_op)

    def average(
        self, state, bucket: dist.GradBucket
    ) -> torch.futures.Future[torch.Tensor]:
        """Average gradients as DDP does by default."""
        # A ring sends each byte 2 (W - 1) / W times: for two processes, once.
        self.sent += bucket.buffer().nbytes
        return default_hooks.allreduce_hook(dist.group.WORLD, bucket)

    def held(self) -> int:
        """Bytes of weights and momentum."""
        own = [x for x in self.model.parameters() if not x.is_meta]
        states = self.wrapper.optimizer.state.values()
        momenta = [state['momentum_buffer'] for state in states]
        return sum(x.nbytes for x in [*own, *momenta])


def _data_parallel(args: argparse.Namespace) -> Way:
    model = MMDistributedDataParallel(
        module=_build(cifar(args.batch_size)), broadcast_buffers=False
    )
    half, rank = args.batch_size // 2, dist.get_rank()
    way = Way(model, _batch(rank * half, (rank + 1) * half, args))
    model.register_comm_hook(None, way.average)
    return way


def _cohort_parallel(args: argparse.Namespace) -> Way:
    model = _build(cifar(args.batch_size), 'cohort')
    spread(model, CohortMesh(model.cohort.names))
    return Way(model, _batch(0, args.batch_size, args))


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
    ways = dict(data=_data_parallel(args), cohort=_cohort_parallel(args))
    seconds: Dict[str, List[float]] = {name: [] for name in ways}
    measured = {}
    for name, way in ways.items():
        way()
        with Peak() as peak:
            way()
        measured[name] = dict(
            sent=way.sent, held=way.held(), peak=peak.most, images=way.teacher_images
        )
    for number in range(args.rounds + 2):
        for name, way in ways.items():
            dist.barrier()
            start = time.perf_counter()
            way()
            dist.barrier()
            if number > 1:
                seconds[name].append(time.perf_counter() - start)
    queue.put((seconds, measured))
    dist.destroy_process_group()


def against_processes(args: argparse.Namespace) -> List[dict]:
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
    seconds, measured = [queue.get(timeout=600) for _ in processes][0]
    for process in processes:
        process.join()
    return [
        dict(
            against='processes',
            way=way,
            N=2,
            B=args.batch_size,
            step_ms=milliseconds(seconds[way]),
            teacher_images=measured[way].pop('images'),
            **{
                f'{name}_kib': round(number / 2**10, 1)
                for name, number in measured[way].items()
            },
        )
        for way in seconds
    ]


PARTS = dict(
    students=against_students,
    memory=against_memory,
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
