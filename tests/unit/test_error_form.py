# Copyright (c) mmdckd contributors. All rights reserved.
"""Errors about what a user wrote have one form: ``Invalid X: expected ...``."""

import ast
import re
from typing import Iterator, List, Tuple

import pytest

from helpers.paths import ROOT
from mmdckd.errors import did_you_mean, shorten

#: The errors of what a user wrote.
ERRORS = ('FileNotFoundError', 'KeyError', 'SystemExit', 'TypeError', 'ValueError')
FORM = re.compile('(error: )?Invalid [^:]+: (expected |{})')
PACKAGE = ROOT / 'mmdckd'
#: The forms of an error that puts a place in front of another error.
PREFIXED = ('{}: {}', '`{}`: {}', 'error: {}', 'error: {}{}\n{}', 'error: {}: {}\n{}')
#: The beginnings of reasons that another message, a note or a warning completes,
#: by the file that raises them.
REASONS = {
    'cli/export.py': ('the checkpoint has no config',),
    'cli/sweep.py': ('error: these runs failed:',),
    'datasets/load_image.py': ('it cannot be decoded',),
    'export/labeled_images.py': ('the ',),
    'io/data.py': ('it has no ', 'its arrays take ', '{} is of '),
    'report/thumbnails.py': (
        'images of the dataset ',
        'its dataset has other images now',
        'the dataset ',
        '{} cannot be ',
    ),
}


def beginnings(message: ast.expr) -> Iterator[str]:
    """Yield the texts with which a message may begin; a value in braces is {}."""
    if isinstance(message, ast.Constant) and isinstance(message.value, str):
        yield message.value
    elif isinstance(message, ast.JoinedStr):
        yield ''.join(
            part.value if isinstance(part, ast.Constant) else '{}'
            for part in message.values
        )
    elif isinstance(message, ast.BinOp):
        yield from beginnings(message.left)
    elif isinstance(message, ast.IfExp):
        yield from beginnings(message.body)
        yield from beginnings(message.orelse)


def messages(source: str) -> Iterator[Tuple[int, str]]:
    """Yield the line and the text of each message that is written where it is
    raised."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Raise) or not isinstance(node.exc, ast.Call):
            continue
        if isinstance(node.exc.func, ast.Name) and node.exc.func.id in ERRORS:
            for argument in node.exc.args[:1]:
                for text in beginnings(argument):
                    yield node.lineno, text


def faults(source: str, reasons: Tuple[str, ...] = ()) -> List[str]:
    """List the messages of another form."""
    return [
        f'line {line}: {text}'
        for line, text in messages(source)
        if not FORM.match(text)
        and not text.startswith(reasons or '\0')
        and text not in PREFIXED
    ]


def test_errors_have_one_form():
    found = {}
    for path in sorted(PACKAGE.rglob('*.py')):
        name = path.relative_to(PACKAGE).as_posix()
        of_file = faults(path.read_text('utf-8'), REASONS.get(name, ()))
        if of_file:
            found[name] = of_file
    assert not found


@pytest.mark.parametrize('name, reason', [(n, r) for n in REASONS for r in REASONS[n]])
def test_every_reason_is_still_raised(name, reason):
    texts = [text for _, text in messages((PACKAGE / name).read_text('utf-8'))]
    assert any(text.startswith(reason) for text in texts)


@pytest.mark.parametrize(
    'call, text',
    [
        ("ValueError('`tau` should be positive')", '`tau` should be positive'),
        ("TypeError(f'`{key}` is a dict, but got {cfg!r}')", '`{}` is a dict'),
        ("KeyError('no ' + name)", 'no '),
        (
            "FileNotFoundError('Invalid x: expected ...' if a else 'There is no x')",
            'There is',
        ),
        ("ValueError('there is ' 'no peer') from error", 'there is no peer'),
        ("SystemExit('error: no image found')", 'error: no image found'),
        (
            "ValueError(f'Invalid `tau` ({path!r}): needs 1')",
            'Invalid `tau` ({}): needs',
        ),
    ],
)
def test_another_form_is_found(call, text):
    (fault,) = faults(f'def f():\n    raise {call}\n')
    assert fault.startswith(f'line 2: {text}')


@pytest.mark.parametrize(
    'call',
    [
        "ValueError(f'Invalid `{key}`: expected 1, got 2.')",
        "ValueError(f'`{key}`: {error}') from error",
        "invalid('tau', 'a positive number', -1)",
        "RuntimeError('an internal error')",
        'ValueError(fault)',
    ],
)
def test_the_form_and_internal_errors_are_accepted(call):
    assert not faults(f'raise {call}\n')


def test_several_words_may_be_suggested():
    known = ['mean', 'means', 'max']
    assert did_you_mean('mean_', known, 2) == " Did you mean 'mean' or 'means'?"
    assert did_you_mean('else', known) == ''
    assert shorten('abcdef', 4) == 'a, b, c, d and 2 more'
    assert shorten('abcd', 4) == 'a, b, c, d'
