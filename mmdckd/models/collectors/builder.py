# Copyright (c) mmdckd contributors. All rights reserved.
import re
from typing import Union

from mmdckd.errors import did_you_mean, invalid
from mmdckd.registry import MODELS

from .base_collector import BaseCollector


def build_collector(collector: Union[str, dict, BaseCollector]) -> BaseCollector:
    """Build a collector from its name or config.

    A collector ``FooBarCollector`` registered in
    :data:`mmdckd.registry.MODELS` also has the short name ``'foo_bar'``.

    Args:
        collector (str, dict or BaseCollector): A name, a config with a name
            as its ``type``, or a collector, which is returned unchanged.

    Returns:
        BaseCollector: The collector.

    Raises:
        ValueError: If no collector has that name.
        TypeError: If the argument has another type, or the config builds
            something else.

    Examples:
        >>> build_collector('max')
        MaxCollector(include_self=False, include_teacher=False)
        >>> build_collector(dict(type='mmdckd.MeanCollector'))
        MeanCollector(include_self=False, include_teacher=False)
    """
    if isinstance(collector, BaseCollector):
        return collector
    cfg = dict(type=collector) if isinstance(collector, str) else collector
    if not isinstance(cfg, dict) or 'type' not in cfg:
        raise TypeError(
            'Invalid `collector`: expected a name, a config with `type`, or a '
            f'collector, got {collector!r}.'
        )
    if isinstance(cfg['type'], str):
        cfg = dict(cfg, type=_resolve(cfg['type']))
    built = MODELS.build(cfg)
    if not isinstance(built, BaseCollector):
        raise TypeError(
            'Invalid `collector`: expected the config of a BaseCollector, got that '
            f'of a {type(built).__name__}.'
        )
    return built


def _resolve(name: str) -> type:
    camel = ''.join(word.capitalize() for word in name.split('_'))
    for candidate in (f'mmdckd.{camel}Collector', name):
        found = MODELS.get(candidate)
        if found is not None:
            return found
    classes = [
        key
        for key, cls in MODELS.module_dict.items()
        if isinstance(cls, type) and issubclass(cls, BaseCollector)
    ]
    short = [
        re.sub(r'(?<!^)(?=[A-Z])', '_', key[: -len('Collector')]).lower()
        for key in classes
        if key.endswith('Collector')
    ]
    hint = did_you_mean(name.split('.')[-1], short + classes, 3)
    raise invalid('collector', f'one of {", ".join(sorted(short))}', name, hint)
