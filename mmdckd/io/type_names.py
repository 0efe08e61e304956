# Copyright (c) mmdckd contributors. All rights reserved.
"""Recognize what a ``type`` in a config names, in whichever way it does."""

from typing import Any


def type_name(kind: Any) -> str:
    """Return the last part of the name of a ``type``.

    Args:
        kind (str | type): A name in a registry, with a scope or without; the full
            name of a class; or the class itself, as in a lazy config.

    Returns:
        str: The name of the class, without its scope or module.

    Examples:
        >>> type_name('mmdckd.DCKDLoss'), type_name(dict)
        ('DCKDLoss', 'dict')
    """
    return getattr(kind, '__name__', str(kind)).rpartition('.')[2]


def is_pretrained_init(cfg: Any) -> bool:
    """Tell whether an ``init_cfg`` loads a checkpoint."""
    return isinstance(cfg, dict) and type_name(cfg.get('type')) in (
        'Pretrained',
        'PretrainedInit',
    )
