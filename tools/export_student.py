# Copyright (c) mmdckd contributors. All rights reserved.
"""Write one student of a cohort as a plain MMPretrain model, a config and a
checkpoint that need neither mmdckd nor mmrazor."""
import argparse

# Before all of OpenMMLab, which it makes work on today's torch.
import mmdckd  # isort: skip  # noqa: F401
from mmengine.config import Config

from mmdckd.export import export_student

EXAMPLES = """examples:
  # the student that was best in validation
  python tools/export_student.py \\
      work_dirs/dckd_r34_r18_digits/epoch_60.pth --out exported

  # another one, and then: classify an image with it, with MMPretrain alone
  python tools/export_student.py CHECKPOINT --student student2 --out exported
  python -c "from mmpretrain import ImageClassificationInferencer as Infer; \\
      print(Infer('exported/student2.py')('image.png'))"
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        'checkpoint', help='checkpoint file of a mmdckd.CollectiveDistill')
    parser.add_argument(
        '--student',
        default='best',
        metavar='NAME',
        help='the name of the student, or best, the one that was best in the '
        'last validation before the checkpoint was written (default: '
        '%(default)s)')
    parser.add_argument(
        '--out',
        required=True,
        metavar='DIR',
        help='the folder to write NAME.py and NAME.pth to')
    parser.add_argument(
        '--config',
        help='the config of the run (default: the one in the checkpoint)')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        cfg = Config.fromfile(args.config) if args.config else None
        exported = export_student(args.checkpoint, args.out, args.student, cfg)
    except (FileNotFoundError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error
    print(f'student     {exported.name}\n'
          f'config      {exported.config}\n'
          f'checkpoint  {exported.checkpoint}')


if __name__ == '__main__':
    main()
