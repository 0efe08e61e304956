# Copyright (c) mmdckd contributors. All rights reserved.
"""Convert a checkpoint of CRD's reference code for the CIFAR benchmark.

The network is recognized from the checkpoint. Either every key is converted or
the conversion fails.
"""

import argparse
import os
from typing import List, Optional

from mmdckd.console.calm_console import open_console

from ..arguments import add_trust_checkpoint, command_parser
from ..errors import one_error_line

EXAMPLES = """example:
  %(prog)s \\
      resnet56_vanilla/ckpt_epoch_240.pth resnet56.pth
  mmdckd train configs/dckd/dckd_resnet56_resnet20_cifar100.py \\
      --cfg-options model.teacher_ckpt=resnet56.pth
"""


def parse_args(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd convert crd'
) -> argparse.Namespace:
    parser = command_parser(prog, __doc__, EXAMPLES)
    parser.add_argument('src', help='a checkpoint of the reference code')
    parser.add_argument('dst', help='the file to write to')
    add_trust_checkpoint(parser)
    return parser.parse_args(argv)


@one_error_line()
def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd convert crd') -> None:
    args = parse_args(argv, prog)
    with open_console(args.verbose):
        run(args)


def run(args: argparse.Namespace) -> None:
    """Convert the checkpoint that the arguments name."""
    import torch
    from mmengine.config import Config

    from mmdckd.convert.crd_checkpoint import convert_crd_state_dict
    from mmdckd.io.files import replacing
    from mmdckd.io.trust import trust_checkpoints
    from mmdckd.models.weights import read_state_dict

    if args.trust_checkpoint:
        trust_checkpoints()
    # The reference code stores its command line in the last checkpoint.
    with torch.serialization.safe_globals([argparse.Namespace]):
        state_dict = read_state_dict(args.src, 'src')
    model, converted = convert_crd_state_dict(state_dict)
    meta = dict(
        source=os.path.basename(args.src),
        cfg=Config(dict(default_scope='mmpretrain', model=model)).pretty_text,
    )
    with replacing(args.dst) as path:
        torch.save(dict(meta=meta, state_dict=converted), path)
    print(
        f'{args.dst} holds {len(converted)} tensors of\n'
        + Config(dict(model=model)).pretty_text
    )
