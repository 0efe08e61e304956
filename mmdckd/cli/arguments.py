# Copyright (c) mmdckd contributors. All rights reserved.
"""The arguments that commands share. Nothing here needs the toolbox."""

import argparse
from typing import Any, Optional


def command_parser(
    prog: str, description: Optional[str], examples: str
) -> argparse.ArgumentParser:
    """Make the parser of a command.

    Args:
        prog (str): How the command was called.
        description (str, optional): What it does.
        examples (str): Commands that a user can copy, with ``%(prog)s`` for
            ``prog``.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--verbose',
        action='store_true',
        help='print what other packages say, too: environment, config, hooks and '
        'warnings, which of a run are in its log file anyway',
    )
    return parser


class DictAction(argparse.Action):
    """MMEngine's action of this name, which is imported when it is needed."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: Optional[str] = None,
    ) -> None:
        from mmengine.config import DictAction

        action = DictAction(self.option_strings, self.dest, self.nargs)
        action(parser, namespace, values, option_string)


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config, as pairs key=value; a key has '
        'dots (model.num_students=2), a list is key="[a,b]" or key=a,b, and '
        'quotation marks keep nested ones together: key="[(a,b),(c,d)]"',
    )


def add_trust_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust-checkpoint``."""
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='let the checkpoints that are loaded run code, which is refused '
        'otherwise; only for files of people whom you trust',
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that training and testing share."""
    add_cfg_options(parser)
    parser.add_argument(
        '--no-pin-memory',
        action='store_true',
        help='do not pin memory in the dataloaders',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='job launcher (default: %(default)s)',
    )
    add_trust_checkpoint(parser)
    # torch.distributed.launch passes --local-rank from torch 2.0 on, and
    # --local_rank before.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
