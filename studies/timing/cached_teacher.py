# Copyright (c) mmdckd contributors. All rights reserved.
"""Compare a training step with a running teacher and with a cached one.

ResNet-56 teaches ResNet-20 of CIFAR's size. Images are cropped with a padding of
4 and flipped (162 views); SGD and DCKDLoss are as in the other studies. Both are
iterations of the real runner and alternate in one process. The cost of building
the cache is given in epochs of training without it.
"""

import argparse
import logging
import tempfile
import time

# It has to be imported before OpenMMLab's packages, to make them importable.
import mmdckd  # isort: skip  # noqa: F401
import torch
from rounds import alternate, append_json, milliseconds, ratio
from runs import COHORT, Run, cifar

IMAGES = 16
PIPELINE = [
    dict(type='Resize', scale=32),
    dict(type='mmdckd.EnumeratedCropFlip', padding=4),
    dict(type='PackInputs', meta_keys=('sample_idx', 'view')),
]


def measure(num_students: int, args: argparse.Namespace, work_dir: str) -> dict:
    setting = cifar(args.batch_size)
    setting.pipeline = PIPELINE
    model = setting.collective(num_students)
    loader = dict(train_dataloader=dict(dataset=dict(indices=IMAGES)))
    cached = dict(type='mmdckd.TeacherCacheHook', folder=f'{work_dir}/logits')
    torch.manual_seed(0)
    runs = dict(runs=Run(setting, model, COHORT, work_dir, **loader))
    start = time.process_time()
    runs['cached'] = Run(
        setting, model, COHORT, work_dir, custom_hooks=[cached], **loader
    )
    built = time.process_time() - start
    number = args.rounds + 2
    seconds = alternate(
        {name: run.iterations(number) for name, run in runs.items()}, args.rounds, 2
    )
    epoch = milliseconds(seconds['runs']) / 1e3 * IMAGES / setting.batch_size
    return dict(
        N=num_students,
        B=setting.batch_size,
        rounds=args.rounds,
        teacher_runs_ms=milliseconds(seconds['runs']),
        looked_up_ms=milliseconds(seconds['cached']),
        speed_up=ratio(seconds['runs'], seconds['cached']),
        epochs_to_build=round(built / epoch, 1),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--num-students', type=int, nargs='+', default=[1, 4])
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--out', help='a file of JSON lines')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    for num_students in args.num_students:
        with tempfile.TemporaryDirectory() as work_dir:
            result = measure(num_students, args, work_dir)
        print(result, flush=True)
        if args.out:
            append_json(args.out, result)


if __name__ == '__main__':
    main()
