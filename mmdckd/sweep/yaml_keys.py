# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict, Set, Tuple

import yaml


def check_unique_keys(path: str) -> None:
    """Check that a YAML file has no key twice; MMEngine would use the last one, and
    a copied method that has kept its name would be lost.

    Args:
        path (str): The file.

    Raises:
        ValueError: If the file is not YAML, or has a key twice.
    """
    with open(path, encoding='utf-8') as file:
        try:
            root = yaml.compose(file, yaml.SafeLoader)
        except yaml.YAMLError as error:
            raise ValueError(
                f'Invalid `sweep`: expected a YAML file, got {path!r}: {error}'
            ) from error
    _check(root, (), set())


def _check(node: yaml.Node, keys: Tuple[str, ...], done: Set[int]) -> None:
    if id(node) in done:  # an alias
        return
    done.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _check(value, keys, done)
    if not isinstance(node, yaml.MappingNode):
        return
    lines: Dict[str, int] = {}
    for key, value in node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name in lines:
            raise ValueError(
                f'Invalid `{".".join((*keys, name))}`: expected a key once, got it in '
                f'lines {lines[name]} and {line} of {key.start_mark.name}.'
            )
        lines[name] = line
        _check(value, (*keys, name), done)
