# Copyright (c) mmdckd contributors. All rights reserved.
"""Write one student of a cohort as a plain MMPretrain model, a config and a
checkpoint that need neither mmdckd nor mmrazor."""

import argparse
import os.path as osp
from typing import List, Optional

from .arguments import add_trust_checkpoint, command_parser
from .errors import one_error_line

EXAMPLES = """examples:
  # the student that was best in validation
  %(prog)s \\
      work_dirs/dckd_r34_r18_digits/epoch_60.pth --out exported

  # as ONNX too, checked against PyTorch (pip install 'mmdckd[onnx]')
  %(prog)s CHECKPOINT --out exported --onnx

  # another one, and then: classify an image with it, with MMPretrain alone
  %(prog)s CHECKPOINT --student student2 --out exported
  python -c "from mmpretrain import ImageClassificationInferencer as Infer; \\
      print(Infer('exported/student2.py')('image.png'))"
"""


def parse_args(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd export'
) -> argparse.Namespace:
    parser = command_parser(prog, __doc__, EXAMPLES)
    parser.add_argument(
        'checkpoint', help='checkpoint file of a mmdckd.CollectiveDistill'
    )
    parser.add_argument(
        '--student',
        default='best',
        metavar='NAME',
        help='the name of the student, or best, the one that was best in the '
        'last validation before the checkpoint was written (default: '
        '%(default)s)',
    )
    parser.add_argument(
        '--out',
        required=True,
        metavar='DIR',
        help='the folder to write NAME.py, NAME.pth and NAME.safetensors to',
    )
    parser.add_argument(
        '--onnx',
        action='store_true',
        help='write NAME.onnx too, with any batch size, and check that '
        'onnxruntime gives the same logits',
    )
    parser.add_argument(
        '--config', help='the config of the run (default: the one in the checkpoint)'
    )
    add_trust_checkpoint(parser)
    return parser.parse_args(argv)


@one_error_line()
def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd export') -> None:
    args = parse_args(argv, prog)
    from mmengine.config import Config

    from mmdckd.export import export_onnx, export_student
    from mmdckd.io.trust import trust_checkpoints

    if args.trust_checkpoint:
        trust_checkpoints()
    cfg = Config.fromfile(args.config) if args.config else None
    exported = export_student(args.checkpoint, args.out, args.student, cfg)
    onnx = osp.join(args.out, f'{exported.name}.onnx')
    difference = export_onnx(exported.config, onnx) if args.onnx else None
    print(
        f'student     {exported.name}\n'
        f'config      {exported.config}\n'
        f'checkpoint  {exported.checkpoint}\n'
        f'safetensors {exported.safetensors}'
    )
    if args.onnx:
        print(f'onnx        {onnx} (logits differ by up to {difference:.1g})')
