# Copyright (c) mmdckd contributors. All rights reserved.
"""Train a small cohort for some thousand iterations, and print how fast its memory
grows: the bytes of the process, and the number of live tensors.

The cohort has all parts that could keep tensors: recorders, MMRazor's losses, lagged
peers, several collective losses, a teacher, logs and a message hub.
"""

import argparse
import gc
import logging
import os
import tempfile
from typing import List, Tuple

# It has to be imported before OpenMMLab's packages, to make them importable.
import mmdckd  # isort: skip  # noqa: F401
import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmdckd.engine.memory import keep_freed_memory

FC = dict(type='ModuleOutputs', source='head.fc')


class MeasureMemoryHook(Hook):
    """Records the memory in use.

    Args:
        interval (int): The number of iterations between two records.
    """

    def __init__(self, interval: int) -> None:
        self.interval = interval
        self.points: List[Tuple[int, int, int]] = []

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs=None
    ) -> None:
        """Record the memory that is in use after a garbage collection."""
        if self.every_n_train_iters(runner, self.interval):
            del data_batch, outputs
            gc.collect()
            self.points.append((runner.iter + 1, _resident(), _tensors()))


def _resident() -> int:
    """Return the resident memory of the process in bytes (Linux)."""
    with open('/proc/self/statm') as file:
        return int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')


def _tensors() -> int:
    return sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects())


def slope(points: List[Tuple[int, int, int]], column: int) -> float:
    """Return the growth per iteration, by least squares over the second half of
    the records, when caches and the windows of the log are full."""
    later = np.array(points[len(points) // 2 :], dtype=float)
    return float(np.polyfit(later[:, 0], later[:, column], 1)[0])


def network(depth: int, width: int) -> dict:
    return dict(
        cfg_path=f'mmpretrain::resnet/resnet{depth}_8xb16_cifar10.py',
        backbone=dict(stem_channels=width, base_channels=width),
        head=dict(in_channels=8 * width),
    )


def config(iterations: int, work_dir: str) -> Config:
    distiller = dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(
            loss_dckd=dict(type='mmdckd.DCKDLoss', ramp=dict(end=1)),
            loss_max=dict(
                type='mmdckd.DCKDLoss',
                alpha=0.0,
                collector=dict(type='max', include_teacher=True),
            ),
        ),
        student_recorders=dict(fc=FC),
        teacher_recorders=dict(fc=FC),
        distill_losses=dict(loss_kl=dict(type='KLDivergence', tau=4.0)),
        loss_forward_mappings=dict(
            loss_kl=dict(
                preds_S=dict(recorder='fc', from_student=True),
                preds_T=dict(recorder='fc', from_student=False),
            )
        ),
    )
    loader = dict(
        batch_size=8,
        num_workers=0,
        dataset=dict(
            type='mmdckd.Digits',
            split='train',
            pipeline=[
                dict(type='RandomCrop', crop_size=8, padding=1),
                dict(type='PackInputs'),
            ],
        ),
        sampler=dict(type='InfiniteSampler', shuffle=True),
    )
    return Config(
        dict(
            default_scope='mmpretrain',
            work_dir=work_dir,
            log_level='ERROR',
            randomness=dict(seed=0),
            model=dict(
                type='mmdckd.CollectiveDistill',
                teacher=network(18, 4),
                allow_random_teacher=True,
                architecture=network(18, 2),
                num_students=2,
                lagged_peers=dict(momentum=0.5, interval=2),
                distiller=distiller,
            ),
            data_preprocessor=dict(num_classes=10, mean=[80.0] * 3, std=[90.0] * 3),
            train_dataloader=loader,
            train_cfg=dict(
                by_epoch=False, max_iters=iterations, val_interval=2 * iterations
            ),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=10),
                save_on_nonfinite=dict(type='mmdckd.SaveOnNonFiniteHook'),
                exact_resume=dict(type='mmdckd.ExactResumeHook'),
            ),
            custom_hooks=[
                dict(type='EMAHook'),
                dict(type='mmdckd.LimitHistoryHook', max_length=500),
            ],
        )
    )


def measure(iterations: int, interval: int) -> List[Tuple[int, int, int]]:
    """Train, and measure.

    Returns:
        List[tuple]: The iteration, the bytes of the process and the number
        of tensors.
    """
    hook = MeasureMemoryHook(interval)
    with tempfile.TemporaryDirectory() as work_dir:
        runner = Runner.from_cfg(config(iterations, work_dir))
        runner.register_hook(hook, priority='LOWEST')
        runner.train()
    return hook.points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--iterations', type=int, default=2000)
    parser.add_argument('--interval', type=int, default=50)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    keep_freed_memory()
    points = measure(args.iterations, args.interval)
    for iteration, resident, tensors in points[::4] + points[-1:]:
        print(f'{iteration:6} {resident / 2**20:9.2f} MiB {tensors:6} tensors')
    print(
        f'growth over the later half: {slope(points, 1):.0f} bytes and '
        f'{slope(points, 2):.2f} tensors an iteration'
    )


if __name__ == '__main__':
    main()
