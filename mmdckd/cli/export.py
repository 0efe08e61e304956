# Copyright (c) mmdckd contributors. All rights reserved.
"""Export students of a run as plain MMPretrain models: a config and a checkpoint
each, which need neither mmdckd nor mmrazor. Optionally also as ONNX and INT8."""

import argparse
import os.path as osp
import sys
from typing import TYPE_CHECKING, List, Optional

from mmdckd.console.calm_console import open_console, print_line

from .arguments import add_trust_checkpoint, command_parser
from .errors import one_error_line

if TYPE_CHECKING:
    from mmengine.config import Config

    from mmdckd.export import ExportedStudent
    from mmdckd.export.cohort_checkpoint import Cohort
    from mmdckd.export.labeled_images import LabeledImages

EXAMPLES = """examples:
  # the student with the best validation result, to work_dirs/flowers/exported
  %(prog)s work_dirs/flowers

  # also as ONNX, compared with PyTorch (pip install 'mmdckd[onnx]')
  %(prog)s RUN --onnx

  # also with 8-bit integers; prints accuracy, size and speed of each file
  %(prog)s RUN --int8 --calibrate data/flowers/train

  # another student; then classify an image with it, using MMPretrain alone
  %(prog)s CHECKPOINT --student student2 --out exported
  python -c "from mmpretrain import ImageClassificationInferencer as Infer; \\
      print(Infer('exported/student2.py')('image.png'))"
"""
#: The loss of accuracy, in points, above which INT8 gets a warning.
_MOST_LOST = 1.0


def parse_args(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd export'
) -> argparse.Namespace:
    parser = command_parser(prog, __doc__, EXAMPLES)
    parser.add_argument(
        'run',
        metavar='RUN',
        help='the folder of a run, whose best checkpoint is used, or a checkpoint '
        'file of a mmdckd.CollectiveDistill',
    )
    parser.add_argument(
        '--student',
        default='best',
        metavar='NAME',
        help='the name of a student, "all", or "best": the best student in the last '
        'validation before the checkpoint was written (default: %(default)s)',
    )
    parser.add_argument(
        '--out',
        metavar='DIR',
        help='the output folder for NAME.py, NAME.pth and NAME.safetensors '
        '(default: exported/ in RUN, or beside the checkpoint)',
    )
    parser.add_argument(
        '--onnx',
        action='store_true',
        help='also write NAME.onnx, for any batch size, and check that '
        'onnxruntime computes the same logits',
    )
    parser.add_argument(
        '--int8',
        action='store_true',
        help='also write NAME.onnx and NAME.int8.onnx, which computes with 8-bit '
        'integers, and compare both with PyTorch; needs --calibrate',
    )
    parser.add_argument(
        '--calibrate',
        metavar='DIR',
        help='a folder of images like the training images, with or without '
        'subfolders; their activations set the ranges of the integers',
    )
    parser.add_argument(
        '--test',
        metavar='DIR',
        help='a folder with one subfolder of images per class, to measure the '
        'accuracy on (default: the test images of the run)',
    )
    parser.add_argument(
        '--config', help='the config of the run (default: the one in the checkpoint)'
    )
    add_trust_checkpoint(parser)
    args = parser.parse_args(argv)
    if args.int8 and args.calibrate is None:
        parser.error(
            '--int8 needs --calibrate DIR, a folder of images like the training images'
        )
    for name in ('calibrate', 'test'):
        if getattr(args, name) is not None and not args.int8:
            parser.error(f'--{name} needs --int8')
    return args


@one_error_line()
def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd export') -> None:
    args = parse_args(argv, prog)
    with open_console(args.verbose):
        run(args)


def run(args: argparse.Namespace) -> None:
    """Export the students that the arguments select."""
    from mmdckd.engine.runner.phases import phases_of
    from mmdckd.export.cohort_checkpoint import read_cohort
    from mmdckd.export.int8 import calibration_images
    from mmdckd.export.onnx_file import require_onnx
    from mmdckd.export.run_checkpoint import find_checkpoint
    from mmdckd.io.config_file import read_config
    from mmdckd.io.files import check_writable
    from mmdckd.io.trust import trust_checkpoints

    if args.trust_checkpoint:
        trust_checkpoints()
    if args.onnx or args.int8:
        require_onnx()
    checkpoint = find_checkpoint(args.run)
    calibration = calibration_images(args.calibrate) if args.int8 else []
    # The students are those of the last phase.
    cfg = phases_of(read_config(args.config))[-1].config if args.config else None
    cohort = read_cohort(checkpoint, args.student, with_config=cfg is None)
    images = find_images(args, cohort, cfg) if args.int8 else None
    folder = args.run if osp.isdir(args.run) else osp.dirname(checkpoint)
    args.out = args.out or osp.join(folder, 'exported')
    check_writable(args.out, '--out')
    if checkpoint != args.run:
        print_line(f'from        {checkpoint}')
    for number, name in enumerate(cohort.students):
        if number:
            print_line('')
        export(checkpoint, name, cfg, args, calibration, images)


def find_images(
    args: argparse.Namespace, cohort: 'Cohort', cfg: Optional['Config']
) -> Optional['LabeledImages']:
    """Return the labeled images to measure on, or print a warning why none."""
    from mmdckd.export.labeled_images import FolderImages, RunImages
    from mmdckd.io.trust import are_trusted

    if args.test is not None:
        if cohort.classes is None:
            raise ValueError(
                'Invalid `--test`: expected a checkpoint that lists its class '
                f'names, got {args.run!r}, which does not.'
            )
        return FolderImages(args.test, cohort.classes)
    try:
        if cfg is not None:
            return RunImages(cfg, True)
        if cohort.config is None:
            raise ValueError('the checkpoint has no config')
        return RunImages(cohort.config, are_trusted())
    except ValueError as error:
        print(
            f'warning: the accuracy will not be measured: {error}. Name a folder of '
            'labeled images with --test.',
            file=sys.stderr,
        )
        return None


def export(
    checkpoint: str,
    name: str,
    cfg: Optional['Config'],
    args: argparse.Namespace,
    calibration: List[str],
    images: Optional['LabeledImages'],
) -> None:
    """Write one student in all requested formats, and print the paths."""
    from mmdckd.export import export_student
    from mmdckd.export.student import warn_of_older_files

    exported = export_student(checkpoint, args.out, name, cfg)
    print_line(
        f'student     {exported.name}\n'
        f'config      {exported.config}\n'
        f'checkpoint  {exported.checkpoint}'
    )
    if exported.safetensors is not None:
        print_line(f'safetensors {exported.safetensors}')
    if args.onnx or args.int8:
        export_others(exported, args, calibration, images)
    warn_of_older_files(exported)


def export_others(
    exported: 'ExportedStudent',
    args: argparse.Namespace,
    calibration: List[str],
    images: Optional['LabeledImages'],
) -> None:
    """Write an exported student as ONNX and INT8, and print the paths."""
    from mmdckd.export import export_int8, export_onnx

    onnx = osp.join(args.out, f'{exported.name}.onnx')
    difference = export_onnx(exported.config, onnx)
    print_line(f'onnx        {onnx} (logits differ by up to {difference:.1g})')
    if args.int8:
        int8 = osp.join(args.out, f'{exported.name}.int8.onnx')
        export_int8(exported.config, onnx, int8, calibration)
        print_line(f'int8        {int8} (calibrated on {len(calibration)} images)')
        compare([exported.checkpoint, onnx, int8], images)


def compare(paths: List[str], images: Optional['LabeledImages']) -> None:
    """Measure the PyTorch, ONNX and INT8 files, and print the table."""
    from mmdckd.export.measuring import measure

    found = measure(paths, images)
    print_line(f'\n{"":8} {"top-1":>8} {"bytes":>12} {"one image":>12} {"ratio":>6}')
    for kind, each in zip(('PyTorch', 'ONNX', 'INT8'), found):
        top1 = '-' if each.top1 is None else f'{each.top1:.2f} %'
        print_line(
            f'{kind:8} {top1:>8} {each.size:>12,} {each.seconds * 1e3:>9.3f} ms '
            f'{each.seconds / found[0].seconds:>6.2f}'
        )
    print_line(
        (f'top-1 on {images}; ' if images else '')
        + 'time: median of alternating runs, one CPU thread'
    )
    plain, _, int8 = (each.top1 for each in found)
    if plain is not None and int8 is not None and plain - int8 > _MOST_LOST:
        print(
            f'warning: INT8 loses {plain - int8:.2f} points. Calibrate with images '
            'closer to those in use, or use the ONNX file.',
            file=sys.stderr,
        )
