# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd train --data``: from a folder of images to trained students."""

import argparse
from typing import Any, Dict

from mmdckd.console.calm_console import print_line

from .quick_imports import import_toolbox

#: The options that replace a config, with their defaults.
DATA_OPTIONS: Dict[str, Any] = dict(
    teacher='none',
    student=None,
    students=None,
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
#: The options that a training with ``--data`` and one with a config share.
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
    """Add ``--data`` and its options."""
    group = parser.add_argument_group(
        'without a config',
        'Settings that you leave out are chosen to fit the data and printed with the\n'
        'reason. NETWORK is the name of an MMPretrain config (resnet18_8xb32_in1k),\n'
        'the config of an exported student (PATH.py), timm:NAME[,CHECKPOINT],\n'
        'hf:FOLDER, torchvision:NAME or python:PACKAGE.FUNCTION.',
    )
    group.add_argument(
        '--data',
        metavar='DIR',
        help='a folder with one subfolder of images per class, or with train/, val/ '
        'and test/, each with such subfolders; without val/, a fifth of the images '
        'is split off for validation, always the same ones',
    )
    group.add_argument(
        '--unlabeled',
        metavar='DIR',
        help='a folder of images without labels that the students also learn from; '
        'the names of its subfolders are ignored',
    )
    group.add_argument(
        '--teacher',
        metavar='NETWORK',
        help='the teacher; it is trained first if it has no weights for these '
        'classes; none: the students learn only from each other (default: none)',
    )
    group.add_argument(
        '--student', metavar='NETWORK', help='the network of every student'
    )
    group.add_argument(
        '--students',
        type=int,
        metavar='N',
        help='how many students learn together (default: 4 without a teacher or with '
        'at most 5,000 labeled images, else 1)',
    )
    group.add_argument(
        '--epochs', type=int, metavar='N', help='passes over the training images'
    )
    group.add_argument(
        '--image-size', type=int, metavar='S', help='the side of the images in pixels'
    )
    group.add_argument('--batch-size', type=int, metavar='B', help='images per batch')
    group.add_argument('--lr', type=float, help='the highest learning rate')
    group.add_argument(
        '--optimizer',
        choices=['sgd', 'adamw'],
        help='the optimizer (default: sgd; use adamw for transformers)',
    )
    group.add_argument(
        '--augmentation',
        choices=['none', 'shift', 'flip', 'crop'],
        help='random changes of the training images: shift: by up to an eighth; flip: '
        'shift and mirror; crop: scale, crop and mirror',
    )
    group.add_argument(
        '--workers', type=int, metavar='N', help='processes that load the images'
    )
    group.add_argument(
        '--pretrained',
        action='store_true',
        default=None,
        help="start from the pretrained weights that each network's library lists",
    )
    group.add_argument('--seed', type=int, help='the random seed (default: 0)')


def check_data_arguments(
    parser: argparse.ArgumentParser, args: argparse.Namespace
) -> None:
    """Exit if options of a training with and without a config are mixed."""
    given = [name for name in DATA_OPTIONS if getattr(args, name) is not None]
    if args.data is None:
        if args.config is None:
            parser.error('give a config, or a folder of images with --data')
        if args.amp is False:
            parser.error(
                '--no-amp needs --data; with a config, change its `optim_wrapper`'
            )
        if given:
            parser.error(
                f'{_flag(given[0])} needs --data; with a config, change settings with '
                '--cfg-options'
            )
        return
    if args.config is not None:
        parser.error(f'give either a config ({args.config}) or --data, not both')
    if args.resume not in (None, 'auto'):
        parser.error(
            '--data resumes by itself where it stopped; --resume PATH needs a '
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
    """Train on a folder of images, and print the result."""
    import_toolbox()
    from mmdckd.easy.distillation import distill
    from mmdckd.engine.memory import keep_freed_memory
    from mmdckd.engine.repeated_work import spare_repeated_work
    from mmdckd.io.trust import trust_checkpoints

    from .config_errors import naming_config_keys

    if args.trust_checkpoint:
        trust_checkpoints()
    keep_freed_memory()
    spare_repeated_work()
    options = {
        name: default if getattr(args, name) is None else getattr(args, name)
        for name, default in DATA_OPTIONS.items()
    }
    options['num_students'] = options.pop('students')
    options['num_workers'] = options.pop('workers')
    options.update(amp=args.amp, fast=args.fast, cfg_options=args.cfg_options)
    if args.work_dir:
        options['work_dir'] = args.work_dir
    with naming_config_keys():
        result = distill(args.data, verbose=args.verbose, **options)
    print_line('\n'.join(['', *result.summary()]))


def _flag(name: str) -> str:
    return '--' + name.replace('_', '-')
