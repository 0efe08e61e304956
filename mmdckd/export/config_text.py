# Copyright (c) mmdckd contributors. All rights reserved.
import ast
from typing import Any, Dict, List

from mmengine.config import Config


def parse_config_text(text: str) -> Config:
    """Read the config text that MMEngine keeps in a checkpoint.

    The text is Python, and :meth:`mmengine.config.Config.fromstring` runs it.
    A checkpoint may come from anywhere: here nothing is run, only values and
    ``dict(...)`` are understood, which is all that MMEngine writes.

    Args:
        text (str): The text, as :attr:`mmengine.config.Config.pretty_text`
            writes it.

    Returns:
        Config: The config.

    Raises:
        ValueError: If there is anything else in the text.
    """
    try:
        statements: List[Any] = ast.parse(text).body
        return Config({
            statement.targets[0].id: _value(statement.value)
            for statement in statements
        })
    except (AttributeError, SyntaxError, TypeError, ValueError) as error:
        raise ValueError(
            'the config text in the checkpoint is more than values and '
            f'`dict(...)`, and such is not run ({error})') from error


def _value(node: Any) -> Any:
    if (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            and node.func.id == 'dict'):
        value: Dict[Any, Any] = {}
        for argument in node.args:
            value.update(_value(argument))
        for keyword in node.keywords:
            value[keyword.arg] = _value(keyword.value)
        return value
    if isinstance(node, ast.Dict):
        return {
            _value(key): _value(value)
            for key, value in zip(node.keys, node.values)
        }
    if isinstance(node, ast.List):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_value(item) for item in node.elts)
    return ast.literal_eval(node)
