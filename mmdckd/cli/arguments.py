# Copyright (c) mmdckd contributors. All rights reserved.
"""Arguments that several commands share. Nothing here needs the toolbox."""

import argparse
from typing import Any, Optional


def command_parser(
    prog: str, description: Optional[str], examples: str
) -> argparse.ArgumentParser:
    """Create the parser of a command.

    Args:
        prog (str): The name of the command, as the user types it.
        description (str, optional): What the command does.
        examples (str): Commands to copy, with ``%(prog)s`` for ``prog``.
    """
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.register('type', None, _filled)
    parser.add_argument(
        '--verbose',
        action='store_true',
        help='also print the output of other packages (environment, config, '
        'hooks, warnings), which otherwise goes only to the log file',
    )
    return parser


def _filled(text: str) -> str:
    """Refuse an empty text, such as that of a shell variable that is not set."""
    if not text:
        raise argparse.ArgumentTypeError(f'expected a value, got {text!r}')
    return text


class DictAction(argparse.Action):
    """MMEngine's action of this name, imported only when it is used."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: Optional[str] = None,
    ) -> None:
        from mmengine.config import DictAction

        from mmdckd.io.nesting import bounded_nesting

        action = DictAction(self.option_strings, self.dest, self.nargs)

        def unreadable(text: str) -> argparse.ArgumentError:
            return argparse.ArgumentError(
                self,
                f'expected a number, a word, or a list of these, got {text!r}. Set '
                'the keys of a dict one by one, as in '
                'optim_wrapper.optimizer.lr=0.1, or write it into a config',
            )

        for text in values:
            key, _, value = text.partition('=')
            if not key or key == text:
                raise argparse.ArgumentError(self, f'expected KEY=VALUE, got {text!r}')
            # MMEngine splits a dict at its commas, or tries to forever.
            if 'dict(' in value or (value.startswith('{') and ',' in value):
                raise unreadable(text)
            try:
                with bounded_nesting():
                    action(parser, namespace, [text], option_string)
            except RecursionError as error:
                raise unreadable(text) from error
            except AssertionError as error:
                raise argparse.ArgumentError(self, f'{error}, in {text!r}') from error


def add_cfg_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
        help='override settings of the config as key=value pairs: nested keys '
        'with dots (model.num_students=2), lists as key="[a,b]" or key=a,b, '
        'nested lists in quotation marks: key="[(a,b),(c,d)]"',
    )


def add_trust_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add ``--trust-checkpoint``."""
    parser.add_argument(
        '--trust-checkpoint',
        action='store_true',
        help='allow checkpoints to run code while they are loaded, which is '
        'refused by default; use it only for files from people you trust',
    )


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that training and testing share."""
    add_cfg_options(parser)
    parser.add_argument(
        '--no-pin-memory',
        action='store_true',
        help='do not pin memory in the data loaders',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
        help='how the processes are launched (default: %(default)s)',
    )
    add_trust_checkpoint(parser)
    # torch.distributed.launch passes --local-rank since torch 2.0, --local_rank
    # before.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0)
