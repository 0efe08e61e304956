# Copyright (c) mmdckd contributors. All rights reserved.
"""A module imports from its own room and from the rooms below it."""

import ast
from importlib.util import resolve_name
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

PACKAGE = Path(__file__).parents[2] / 'mmdckd'
#: The rooms, from the roof to the ground: those of a floor share a line, and
#: the first floor is the public face.
FLOORS = (
    ('', '__main__', 'cli', 'configs', 'easy', 'first_use'),
    ('sweep', 'report', 'export', 'convert', 'inference'),
    ('engine',),
    ('models', 'datasets', 'evaluation', 'visualization'),
    ('console', 'io', 'names', 'registry', 'version'),
    ('compat', 'errors', 'values'),
)
HEIGHT = {room: -floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def imported_by(source: str, module: str, is_package: bool) -> Iterator[str]:
    """Every module that a source text imports, also inside functions."""
    package = module if is_package else module.rpartition('.')[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = '.' * node.level + (node.module or '')
            origin = resolve_name(origin, package)
            # `from mmdckd import names` is of names, not of the face.
            yield from (f'{origin}.{each.name}' for each in node.names)


def room_of(name: str) -> str:
    room = f'{name}.'.split('.')[1]
    return room if room in HEIGHT else ''


def upward_arrows(source: str, module: str, is_package: bool = False) -> List[str]:
    here = HEIGHT[room_of(module)]
    return [
        f'{module} -> {name}'
        for name in imported_by(source, module, is_package)
        if name.partition('.')[0] == 'mmdckd' and HEIGHT[room_of(name)] > here
    ]


def modules() -> Iterator[Tuple[str, bool, Path]]:
    for path in sorted(PACKAGE.rglob('*.py')):
        parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
        is_package = parts[-1] == '__init__'
        yield '.'.join(parts[:-1] if is_package else parts), is_package, path


def test_arrows_point_down():
    found = [
        arrow
        for module, is_package, path in modules()
        for arrow in upward_arrows(path.read_text(), module, is_package)
    ]
    assert not found


def test_every_room_has_a_floor():
    rooms = {module.split('.')[1] for module, *_ in modules() if '.' in module}
    assert rooms <= set(HEIGHT)


@pytest.mark.parametrize(
    'source',
    [
        'import mmdckd.report',
        'from mmdckd import report',
        'from ..report.style import tidy',
        'def later():\n    from mmdckd.export import export_student',
        'from mmdckd import distill',
    ],
)
def test_an_arrow_up_is_found(source):
    assert upward_arrows(source, 'mmdckd.engine.saving')
    assert not upward_arrows(source, 'mmdckd.cli.report')
