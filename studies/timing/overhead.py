# Copyright (c) mmdckd contributors. All rights reserved.
"""Print the time of each part of a training step other than the networks.

ResNet-56 teaches N x ResNet-20 of CIFAR's size, with all default hooks of
`configs/_base_/cohort.py`. Each part is called alone, many times, after some
iterations of the run; rounds.py explains the timing.
"""

import argparse
import logging
import tempfile
from typing import Callable, Dict

# It has to be imported before OpenMMLab's packages, to make them importable.
import mmdckd  # isort: skip  # noqa: F401
import torch
from rounds import alternate, append_json, milliseconds
from runs import COHORT, Run, cifar

from mmdckd.engine.randomness import Draw
from mmdckd.models.algorithms.copied_losses import CopiedLosses
from mmdckd.models.distillers.statistics import cohort_statistics

REPEATS = 20


def parts(run: Run, shape: tuple) -> Dict[str, Callable[[], object]]:
    """Return the parts to time, by name."""
    model, runner, batch = run.model, run.runner, run.load()
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    _, outputs = model.parse_losses(losses)
    logits = torch.randn(shape)
    hook = dict(batch_idx=1, data_batch=batch)
    return dict(
        preprocess=lambda: model.data_preprocessor(batch, True),
        remember_buffers=model._guard.remember,
        find_nonfinite=lambda: CopiedLosses(losses).look_at(),
        statistics=lambda: cohort_statistics(model.cohort.names, logits, model.task),
        sum_losses=lambda: model.parse_losses(losses),
        seed=lambda: run.loop._seed(Draw.STEP),
        hooks_before=lambda: runner.call_hook('before_train_iter', **hook),
        hooks_after=lambda: runner.call_hook(
            'after_train_iter', outputs=outputs, **hook
        ),
    )


def repeated(function: Callable) -> Callable[[], None]:

    def repeat() -> None:
        for _ in range(REPEATS):
            function()

    return repeat


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--num-students', type=int, default=4)
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--out', help='a file of JSON lines')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    setting = cifar(args.batch_size)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(setting, setting.collective(args.num_students), COHORT, folder)
        step = alternate(dict(step=run.iterations(args.rounds + 1)), args.rounds)[
            'step'
        ]
        shape = (args.num_students, args.batch_size, setting.classes)
        seconds = alternate(
            {name: repeated(part) for name, part in parts(run, shape).items()},
            args.rounds,
        )
    result = dict(
        N=args.num_students,
        B=args.batch_size,
        rounds=args.rounds,
        step_ms=milliseconds(step),
    )
    result.update(
        (f'{name}_ms', round(milliseconds(times) / REPEATS, 4))
        for name, times in seconds.items()
    )
    for name, value in result.items():
        print(f'{name:20} {value}')
    if args.out:
        append_json(args.out, result)


if __name__ == '__main__':
    main()
