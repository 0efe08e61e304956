# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd convert``: the commands that convert files of other projects."""

import sys
from typing import List, Optional

from ..main import run_command

COMMANDS = dict(
    razor='an MMRazor distillation config, to one of a cohort',
    crd="a checkpoint of CRD's reference code for CIFAR",
    efficientnet='EfficientNet weights, to those of a timm network',
)


def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd convert') -> int:
    """Convert files of other projects."""
    return run_command(
        sys.argv[1:] if argv is None else argv,
        prog,
        'Convert files of other projects.',
        COMMANDS,
        __package__,
    )
