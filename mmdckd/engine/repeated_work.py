# Copyright (c) mmdckd contributors. All rights reserved.
"""Spares a process what MMEngine does many times with the same result."""

import functools
import gc
from typing import Callable, Dict, Tuple

import mmengine.config.utils
from mmengine.config import Config

_MOST_TEXTS = 8


def spare_repeated_work() -> None:
    """Make MMEngine read metafiles and format configs once in this process.

    MMEngine reads all metafiles of a package for each ``package::config``, over
    80 files for MMPretrain, and lets yapf format the config for each log, dump
    and checkpoint. It also collects garbage for each dataset that it builds,
    among all objects of the imported packages: these are left out from now on.

    Results stay the same. Call it in a process of one's own, such as that of a
    command, because it changes MMEngine for everything in the process, and
    objects that exist already are never collected.
    """
    utils = mmengine.config.utils
    if isinstance(Config.pretty_text, _Formatted):
        return
    utils.load = functools.lru_cache(maxsize=None)(utils.load)
    Config.pretty_text = _Formatted(Config.pretty_text.fget)
    gc.freeze()


class _Formatted(property):
    """A property that keeps the latest texts of configs.

    Args:
        format_config (Callable): Returns the text of a config.
    """

    def __init__(self, format_config: Callable[[Config], str]) -> None:
        texts: Dict[Tuple[str, bool], str] = {}

        def pretty_text(config: Config) -> str:
            key = (repr(config.to_dict()), config._format_python_code)
            if key not in texts:
                if len(texts) == _MOST_TEXTS:
                    texts.pop(next(iter(texts)))
                texts[key] = format_config(config)
            return texts[key]

        super().__init__(pretty_text)
