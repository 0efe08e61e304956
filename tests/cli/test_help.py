# Copyright (c) mmdckd contributors. All rights reserved.
import os
import re
from importlib import import_module
from pathlib import Path

import pytest

from helpers.commands import REPO, TOOLS, call
from mmdckd.cli import convert
from mmdckd.cli.main import COMMANDS, main

NAMES = [
    *(name for name in COMMANDS if name != 'convert'),
    *(f'convert {name}' for name in convert.COMMANDS),
]
SHELL_SCRIPTS = sorted(Path(TOOLS).glob('*.sh'))


def help_of(capsys, call, *arguments, **keywords):
    with pytest.raises(SystemExit) as end:
        call(*arguments, **keywords)
    printed = capsys.readouterr().out
    assert not end.value.code and '\x1b' not in printed
    return printed


@pytest.mark.parametrize('name', NAMES)
def test_every_command_helps_with_an_example(name, capsys):
    printed = help_of(capsys, main, [*name.split(), '--help'])
    assert printed.startswith(f'usage: mmdckd {name} ')
    examples = printed.partition('\nexample')[2]
    assert f'\n  mmdckd {name}' in examples
    # A line of an example ends where it is continued.
    assert max(map(len, printed.splitlines())) <= 80
    assert not re.search(r'\S {2,}--', examples)


@pytest.mark.parametrize('name', [name for name in NAMES if name != 'doctor'])
def test_its_script_is_the_command_by_another_name(name, capsys):
    module = f'mmdckd.cli.{name.replace(" ", ".")}'
    (script,) = (
        path
        for path in Path(TOOLS).glob('*.py')
        if f'from {module} import main\n' in path.read_text()
    )
    (prog,) = re.findall(r"^    main\(prog='(.*)'\)$", script.read_text(), re.M)
    assert prog == f'python tools/{script.name}'
    printed = help_of(capsys, import_module(module).main, ['--help'], prog=prog)
    assert f'\n  {prog}' in printed.partition('\nexample')[2]


def test_what_there_is_no_command_for_is_refused(capsys):
    for arguments in ([], ['trian'], ['convert'], ['convert', 'yolo']):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 2
        assert 'usage: mmdckd' in capsys.readouterr().err


def test_the_table_of_commands_has_them_all():
    table = Path(REPO, 'docs', 'reference', 'commands.md').read_text()
    # doctor is last here.
    assert re.findall(r'^\| `mmdckd ((?:convert )?\w+)', table, re.M) == [
        *(name for name in NAMES if name != 'doctor'),
        'doctor',
    ]
    scripts = {
        path.name
        for path in Path(TOOLS).glob('*.py')
        if 'import main\n' in path.read_text()
    }
    assert set(re.findall(r'`tools/(\w+\.py)`', table)) == scripts


def test_every_shell_script_helps_with_an_example():
    assert len(SHELL_SCRIPTS) == 2
    for path in SHELL_SCRIPTS:
        done = call('bash', str(path), '--help')
        assert done.returncode == 0, (path, done.stderr)
        assert not done.stderr and 'example:' in done.stdout, path
        example = done.stdout.split('example')[-1]
        assert f'tools{os.sep}{path.name}' in example, path
