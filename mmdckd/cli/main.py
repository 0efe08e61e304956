# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd``: runs the command that the first argument names. A command is a
module with ``main(argv, prog)``, imported only when it is called."""

import argparse
import sys
from importlib import import_module
from typing import Dict, List, Optional

from ..version import __version__

#: The commands and what they do; each is the module of its name.
COMMANDS = dict(
    train='train a cohort of students, or any MMPretrain model',
    test='test every student, their ensemble and the teacher in one pass',
    export='export students as plain MMPretrain models, ONNX and INT8',
    predict='classify images with an exported student',
    report='write an HTML report about one or several runs',
    show='print what a config builds, and the cost of each network',
    sweep='compare methods over several seeds',
    convert='convert MMRazor configs and checkpoints of other code',
    doctor='check the installation',
)


def main(argv: Optional[List[str]] = None) -> int:
    """``mmdckd``: run a command.

    Args:
        argv (List[str], optional): The arguments. Defaults to None, which
            means those of the process.

    Returns:
        int: The exit status.
    """
    return run_command(
        sys.argv[1:] if argv is None else argv,
        'mmdckd',
        'Collective knowledge distillation for MMRazor and MMPretrain.',
        COMMANDS,
        __package__,
    )


def run_command(
    argv: List[str], prog: str, description: str, commands: Dict[str, str], package: str
) -> int:
    """Run the command named by the first argument with the other arguments.

    Args:
        argv (List[str]): The arguments.
        prog (str): The words before the command.
        description (str): What the commands are for.
        commands (Dict[str, str]): The commands and what they do.
        package (str): The package with one module per command.

    Returns:
        int: The exit status.
    """
    width = max(map(len, commands)) + 2
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f'{prog} COMMAND ...',
        description=description,
        epilog='commands:\n'
        + ''.join(f'  {name:{width}}{text}\n' for name, text in commands.items())
        + f'\n`{prog} COMMAND --help` shows the arguments of a command and examples.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='version', version=f'mmdckd {__version__}')
    parser.add_argument('command', choices=commands, help=argparse.SUPPRESS)
    name = parser.parse_args(argv[:1]).command
    return import_module(f'{package}.{name}').main(argv[1:], f'{prog} {name}') or 0
