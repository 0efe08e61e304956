# Copyright (c) mmdckd contributors. All rights reserved.
"""Print the cost of the check for non-finite losses in a training step.

Four narrow ResNet-18 with a ResNet-34, random images of CIFAR's size, one
thread of the CPU. With larger networks, its share of a step is smaller.
"""

import logging
import time

# It has to be imported before OpenMMLab's packages, to make them importable.
import mmdckd  # isort: skip  # noqa: F401
import torch
from mmengine.optim import OptimWrapper
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample

from mmdckd.models.algorithms.buffer_snapshot import BufferSnapshot
from mmdckd.models.algorithms.copied_losses import CopiedLosses
from mmdckd.registry import MODELS

REPEATS = 10


def network(depth: int) -> dict:
    return dict(
        cfg_path=f'mmpretrain::resnet/resnet{depth}_8xb16_cifar10.py',
        backbone=dict(stem_channels=16, base_channels=16),
        head=dict(in_channels=128),
    )


def milliseconds(function) -> float:
    function()
    start = time.perf_counter()
    for _ in range(REPEATS):
        function()
    return (time.perf_counter() - start) / REPEATS * 1000


def main() -> None:
    logging.disable(logging.CRITICAL)
    torch.set_num_threads(1)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(
            dict(
                type='mmdckd.CollectiveDistill',
                architecture=network(18),
                num_students=4,
                teacher=network(34),
                allow_random_teacher=True,
                distiller=dict(
                    type='mmdckd.CollectiveDistiller',
                    collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
                ),
            )
        )
    model.init_weights()
    model.train()
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.01))
    batch = dict(
        inputs=torch.randint(256, (16, 3, 32, 32), dtype=torch.uint8),
        data_samples=[DataSample().set_gt_label(i % 10) for i in range(16)],
    )
    step = milliseconds(lambda: model.train_step(batch, optim))
    losses = model(**model.data_preprocessor(batch, True), mode='loss')

    before = BufferSnapshot(model.cohort, model.distiller.collective_losses)

    def check():
        before.take()
        CopiedLosses(losses).look_at()

    cost = milliseconds(check)
    print(
        f'step {step:.1f} ms, of which the check {cost:.2f} ms '
        f'({100 * cost / step:.2f} %)'
    )


if __name__ == '__main__':
    main()
