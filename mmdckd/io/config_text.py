# Copyright (c) mmdckd contributors. All rights reserved.
"""Read and write configs as text that contains only values and runs no code."""

import ast
import math
import pprint
from typing import Any, Dict, List, Optional, Sequence

from mmengine.config import Config

from .nesting import bounded_nesting
from .type_names import is_pretrained_init

#: Upper bound on the length of a config text that is read, in characters. The
#: configs of OpenMMLab have less than 100,000.
LONGEST_TEXT = 2_000_000
_ATOMS = (str, int, float, bool, type(None))
_DEEPEST = 50


def parse_config_text(text: str) -> Config:
    """Read the config text that MMEngine writes into checkpoints and logs.

    The text is Python, which :meth:`mmengine.config.Config.fromstring` would
    run. This function runs nothing: it accepts only values, ``inf`` and ``nan``
    included, and ``dict(...)``, which is all that MMEngine writes.

    Args:
        text (str): The text of :attr:`mmengine.config.Config.pretty_text`.

    Returns:
        Config: The config.

    Raises:
        ValueError: If the text contains anything else, or more than
            :data:`LONGEST_TEXT` characters.
    """
    if isinstance(text, str) and len(text) > LONGEST_TEXT:
        raise ValueError(
            f'Invalid config text: expected at most {LONGEST_TEXT:,} '
            f'characters, got {len(text):,}'
        )
    try:
        with bounded_nesting():
            statements: List[Any] = ast.parse(text).body
            return Config(
                {
                    statement.targets[0].id: _value(statement.value)
                    for statement in statements
                }
            )
    # Deep nesting raises RecursionError or MemoryError, and names that Config
    # reserves raise KeyError.
    except (
        AttributeError,
        KeyError,
        MemoryError,
        RecursionError,
        SyntaxError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(
            'Invalid config text: expected only values and `dict(...)`, as other '
            f'code is not run, got {error}'
        ) from error


def _value(node: Any) -> Any:
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == 'dict'
    ):
        value: Dict[Any, Any] = {}
        for argument in node.args:
            value.update(_value(argument))
        for keyword in node.keywords:
            value[keyword.arg] = _value(keyword.value)
        return value
    if isinstance(node, ast.Dict):
        return {
            _value(key): _value(value) for key, value in zip(node.keys, node.values)
        }
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    negative = isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)
    number = node.operand if negative else node
    if isinstance(number, ast.Name) and number.id in ('inf', 'nan'):
        # As MMEngine writes them, for example `clip_grad=dict(norm_type=inf)`.
        return -float(number.id) if negative else float(number.id)
    return ast.literal_eval(node)


def as_plain(value: Any, scope: str = 'mmpretrain') -> Any:
    """Copy a part of a config in the form that MMPretrain needs.

    It omits scopes that are the default, and the pretrained weights of parts of
    a network, which the checkpoint contains. Classes become their names.

    Args:
        value (Any): The part of the config.
        scope (str): Its scope. Defaults to ``'mmpretrain'``.
    """
    if isinstance(value, dict):
        own = value.get('_scope_', scope)
        return {
            key: as_plain(item, own)
            for key, item in value.items()
            if not (key == '_scope_' and item == scope)
            and not (key == 'init_cfg' and is_pretrained_init(item))
        }
    if isinstance(value, (list, tuple)):
        return type(value)(as_plain(item, scope) for item in value)
    if isinstance(value, type):
        return f'{value.__module__}.{value.__qualname__}'
    return value


def check_values(value: Any, key: str, depth: int = 0) -> None:
    """Check that a part of a config can be written as plain values.

    Args:
        value (Any): The part of the config.
        key (str): Its config key; '' for the whole config.
        depth (int): Its depth in the config. Defaults to 0.

    Raises:
        ValueError: If a key is not an identifier, a value is not a string, a
            finite number, a boolean, None, a list, a tuple or a dict, or the
            nesting is deeper than 50.
    """
    if depth > _DEEPEST:
        raise ValueError(
            f'Invalid `{key}`: expected at most {_DEEPEST} levels of nesting'
        )
    if isinstance(value, dict):
        for name, item in value.items():
            if not (isinstance(name, str) and name.isidentifier()):
                raise ValueError(
                    f'Invalid key in `{key or "config"}`: '
                    f'expected an identifier, got {_shown(name)}'
                )
            check_values(item, f'{key}.{name}' if key else name, depth + 1)
    elif type(value) in (list, tuple):
        for index, item in enumerate(value):
            check_values(item, f'{key}.{index}', depth + 1)
    elif type(value) not in _ATOMS or (
        type(value) is float and not math.isfinite(value)
    ):
        raise ValueError(
            f'Invalid `{key}`: expected a string, a finite number, a list, a '
            f'tuple or a dict, got {_shown(value)}'
        )


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 80 else f'{text[:77]}...'


def format_config(
    values: Dict[str, Any], header: Sequence[str] = (), beside: Optional[str] = None
) -> str:
    """Write a config as Python text that contains only values.

    The text is parsed again and compared with the values before it is
    returned. As MMEngine replaces ``{{ ... }}`` in the text of a config, even
    inside strings, by file names and environment variables, such braces are
    escaped.

    Args:
        values (Dict[str, Any]): The top-level assignments, in order.
        header (Sequence[str]): Lines of a comment at the top.
        beside (str, optional): The name of a file in the same folder, which is
            assigned to ``load_from``. Defaults to None.

    Returns:
        str: The text.

    Raises:
        ValueError: If :func:`check_values` raises an error.

    Examples:
        >>> print(format_config(dict(model=dict(type='ResNet')), ['A model.']))
        # A model.
        model = {'type': 'ResNet'}
        <BLANKLINE>
    """
    check_values(values, '')
    plain = _builtin(values)
    lines = [f'# {_comment(line)}'.rstrip() for line in header]
    for name, value in plain.items():
        literal = pprint.pformat(value, sort_dicts=False)
        # Two consecutive braces occur only inside strings.
        lines.append(f'{name} = ' + literal.replace('{{', r'{\x7b'))
    if beside is not None:
        plain['load_from'] = '{{ fileDirname }}/' + beside
        lines.append(f'load_from = {plain["load_from"]!r}')
    text = '\n'.join(lines) + '\n'
    parsed = {}
    for statement in ast.parse(text).body:
        (target,) = statement.targets  # type: ignore[attr-defined]
        parsed[target.id] = ast.literal_eval(statement.value)  # type: ignore[attr-defined]
    if repr(parsed) != repr(plain) or text.count('{{') != (beside is not None):
        raise ValueError(
            'Invalid config: expected values that are the same after writing and '
            f'reading, got {_shown(plain)}'
        )
    return text


def _builtin(value: Any) -> Any:
    """Convert all dicts in a value to plain dicts."""
    if isinstance(value, dict):
        return {key: _builtin(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_builtin(item) for item in value)
    return value


def _comment(line: str) -> str:
    """Write a comment of one line in which MMEngine replaces nothing."""
    line = ''.join(c if c.isprintable() else '?' for c in line)
    return line.replace('{', '(').replace('}', ')')
