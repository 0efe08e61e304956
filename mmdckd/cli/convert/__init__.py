# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd convert``."""

import sys
from typing import List, Optional

from ..main import run_command

COMMANDS = dict(
    razor='a distillation config of MMRazor to one of a cohort',
    crd="a checkpoint of the reference code of CRD's CIFAR benchmark",
    efficientnet='weights of an EfficientNet to those of a network of timm',
)


def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd convert') -> int:
    """Convert what other code has written."""
    return run_command(
        sys.argv[1:] if argv is None else argv,
        prog,
        'Convert what other code has written.',
        COMMANDS,
        __package__,
    )
