# Copyright (c) mmdckd contributors. All rights reserved.
"""A warning of mmdckd's reaches the console of a command."""

import ast
from pathlib import Path

import mmdckd

PACKAGE = Path(mmdckd.__file__).parent


def unmarked(source):
    """The lines of a source text that warn in a way that a console leaves to
    the log file."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called == 'warnings.warn' or called.endswith('logger.warning'):
            yield node.lineno
        elif called == 'print_log' and 'WARNING' in ast.unparse(node):
            yield node.lineno


def test_every_warning_is_marked():
    found = [
        f'{path.relative_to(PACKAGE)}:{line}'
        for path in PACKAGE.rglob('*.py')
        for line in unmarked(path.read_text())
    ]
    assert not found, 'call mmdckd.console.messages.warn'


def test_an_unmarked_warning_is_found():
    source = (
        "warnings.warn('a')\nrunner.logger.warning('b')\n"
        "print_log('c', level=logging.WARNING)\nwarn('d')\nprint_log('e')\n"
    )
    assert list(unmarked(source)) == [1, 2, 3]
