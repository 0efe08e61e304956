# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd train --data``: from a folder of images to a student."""

import argparse
from typing import Any, Dict

#: The options that take the place of a config, with their defaults.
DATA_OPTIONS: Dict[str, Any] = dict(
    teacher='none',
    student=None,
    students=4,
    epochs=None,
    image_size=None,
    batch_size=None,
    lr=None,
    pretrained=False,
    seed=0,
    optimizer=None,
    augmentation=None,
    workers=None,
    unlabeled=None,
)
#: Those of a run by a config that a run without one has, too.
SHARED = (
    'work_dir',
    'resume',
    'amp',
    'fast',
    'device',
    'cfg_options',
    'trust_checkpoint',
    'local_rank',
    'verbose',
)


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--data`` and what goes with it."""
    group = parser.add_argument_group(
        'without a config',
        'What is not given is chosen to fit the data, and printed with its reason. A '
        'network is the name of a config of MMPretrain (resnet18_8xb32_in1k), the '
        'config of an exported student (PATH.py), timm:NAME[,CHECKPOINT], '
        'hf:FOLDER, torchvision:NAME or python:PACKAGE.FUNCTION.',
    )
    group.add_argument(
        '--data',
        metavar='DIR',
        help='a folder with a subfolder of images for each class; or with train/, '
        'val/ and test/, each with such subfolders. Without val/, a fifth of the '
        'images is split off, the same ones every time',
    )
    group.add_argument(
        '--unlabeled',
        metavar='DIR',
        help='a folder of images without labels, which the students learn from, too; '
        'its subfolders are no classes',
    )
    group.add_argument(
        '--teacher',
        metavar='NETWORK',
        help='it is trained first if it has no weights for the data; none: the '
        'students have only each other (default: none)',
    )
    group.add_argument(
        '--student', metavar='NETWORK', help='the network of every student'
    )
    group.add_argument(
        '--students', type=int, metavar='N', help='how many learn together (default: 4)'
    )
    group.add_argument('--epochs', type=int, metavar='N', help='passes over the images')
    group.add_argument(
        '--image-size', type=int, metavar='S', help='the side of the images, in pixels'
    )
    group.add_argument('--batch-size', type=int, metavar='B', help='images in a batch')
    group.add_argument('--lr', type=float, help='the largest learning rate')
    group.add_argument(
        '--optimizer',
        choices=['sgd', 'adamw'],
        help='sgd for convolutional networks, adamw for transformers (default: sgd)',
    )
    group.add_argument(
        '--augmentation',
        choices=['none', 'shift', 'flip', 'crop'],
        help='how training images change at random: shifted by up to an eighth; '
        'shifted and mirrored; or scaled, cropped and mirrored',
    )
    group.add_argument(
        '--workers', type=int, metavar='N', help='processes that load images'
    )
    group.add_argument(
        '--pretrained',
        action='store_true',
        default=None,
        help='start from the weights that the libraries of the networks list',
    )
    group.add_argument('--seed', type=int, help='the seed of the run (default: 0)')


def check_data_arguments(
    parser: argparse.ArgumentParser, args: argparse.Namespace
) -> None:
    """Exit where options of a run with and without a config are mixed."""
    given = [name for name in DATA_OPTIONS if getattr(args, name) is not None]
    if args.data is None:
        if args.config is None:
            parser.error('give a config, or a folder of images with --data')
        if args.amp is False:
            parser.error('--no-amp needs --data; a config has it if it says so')
        if given:
            parser.error(
                f'{_flag(given[0])} needs --data; of a config, change settings with '
                '--cfg-options'
            )
        return
    if args.config is not None:
        parser.error(f'give a config, {args.config}, or --data, not both')
    if args.resume not in (None, 'auto'):
        parser.error(
            '--data goes on by itself where it was stopped; --resume PATH needs a '
            'config, such as students.py in the work folder'
        )
    if args.student is None:
        parser.error('--data needs --student, the network to train')
    others = [
        name
        for name, value in vars(args).items()
        if name not in (*DATA_OPTIONS, *SHARED, 'data', 'config')
        and value != parser.get_default(name)
    ]
    if others:
        parser.error(
            f'{_flag(others[0])} needs a config; --data writes one, '
            'students.py in the work folder'
        )


def distill_folder(args: argparse.Namespace) -> None:
    """Train from a folder of images, and say what came out."""
    print(f'Reading the images in {args.data}', flush=True)  # imports take seconds
    from mmdckd.easy.distillation import distill
    from mmdckd.engine.memory import keep_freed_memory
    from mmdckd.io.trust import trust_checkpoints

    from .run_config import check_work_dir

    if args.trust_checkpoint:
        trust_checkpoints()
    if args.work_dir:
        check_work_dir(args.work_dir)
    keep_freed_memory()
    options = {
        name: default if getattr(args, name) is None else getattr(args, name)
        for name, default in DATA_OPTIONS.items()
    }
    options['num_students'] = options.pop('students')
    options['num_workers'] = options.pop('workers')
    options.update(amp=args.amp, fast=args.fast, cfg_options=args.cfg_options)
    if args.work_dir:
        options['work_dir'] = args.work_dir
    result = distill(args.data, verbose=args.verbose, **options)
    print('\n'.join(['', *result.summary()]))


def _flag(name: str) -> str:
    return '--' + name.replace('_', '-')
