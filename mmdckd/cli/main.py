# Copyright (c) mmdckd contributors. All rights reserved.
"""Finds the command that a user asks for. A command is a module with
``main(argv, prog)``, which is imported when it is called."""

import argparse
import sys
from importlib import import_module
from typing import Dict, List, Optional

from ..version import __version__

#: Command to what it does; the module has its name.
COMMANDS = dict(
    train='train a cohort of students, or any model of MMPretrain',
    test='test every student, their ensemble and the teacher in one pass',
    export='write students as plain MMPretrain models, ONNX and INT8',
    predict='classify images with an exported student',
    report='write what trainings have learned as one HTML file',
    show='print what a config will build, and what each network costs',
    sweep='compare methods over several seeds',
    convert='convert a config of MMRazor or a checkpoint of CRD',
    doctor='tell what is installed and what would not work',
)


def main(argv: Optional[List[str]] = None) -> int:
    """``mmdckd``: run a command.

    Args:
        argv (List[str], optional): The arguments. Defaults to None, those of
            the process.

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
    """Run the command that the first argument names with the others.

    Args:
        argv (List[str]): The arguments.
        prog (str): What comes before the command.
        description (str): What the commands are for.
        commands (Dict[str, str]): Command to what it does.
        package (str): The package that has a module of its name.

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
        + f'\n`{prog} COMMAND --help` has the arguments of a command and examples.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--version', action='version', version=f'mmdckd {__version__}')
    parser.add_argument('command', choices=commands, help=argparse.SUPPRESS)
    name = parser.parse_args(argv[:1]).command
    return import_module(f'{package}.{name}').main(argv[1:], f'{prog} {name}') or 0
