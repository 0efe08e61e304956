# Copyright (c) mmdckd contributors. All rights reserved.
"""Check the types that the config in a checkpoint names."""

from importlib import import_module
from typing import Any, Iterable, Iterator, Tuple

import mmengine.registry
import mmpretrain.registry
from mmcv.transforms import BaseTransform
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.evaluator import BaseMetric
from mmengine.registry import Registry
from torch import nn
from torch.utils.data import Dataset, Sampler

_PACKAGES = ('mmcv', 'mmdckd', 'mmengine', 'mmpretrain', 'mmrazor', 'torch')
_BASES = (nn.Module, BaseTransform, BaseMetric, Dataset, Sampler)


def walk_types(cfg: Any, path: str, scope: str = '') -> Iterator[Tuple[str, Any, str]]:
    """Find every ``type`` in a config.

    Args:
        cfg (Any): The config, or a part of one.
        path (str): Its config key.
        scope (str): Its scope. Defaults to ''.

    Yields:
        Tuple[str, str | type, str]: The path, the value and the scope of
        every ``type`` in it.
    """
    if isinstance(cfg, dict):
        scope = cfg.get('_scope_', scope)
        if 'type' in cfg:
            yield f'{path}.type', cfg['type'], scope
        items: Iterable[Tuple[Any, Any]] = cfg.items()
    elif isinstance(cfg, (list, tuple)):
        items = enumerate(cfg)
    else:
        return
    for key, value in items:
        yield from walk_types(value, f'{path}.{key}', scope)


def walk_scopes(cfg: Any, path: str) -> Iterator[Tuple[str, Any]]:
    """Yield the key and the value of every scope in a config."""
    if isinstance(cfg, dict):
        for key, value in cfg.items():
            if key in ('_scope_', 'default_scope'):
                yield f'{path}.{key}', value
            yield from walk_scopes(value, f'{path}.{key}')
    elif isinstance(cfg, (list, tuple)):
        for index, value in enumerate(cfg):
            yield from walk_scopes(value, f'{path}.{index}')


def check_types(cfg: Any, key: str) -> None:
    """Check that building a part of a config cannot run arbitrary code.

    MMEngine imports and calls a ``type`` that is in no registry, for example
    ``os.system``, and imports the package of a ``_scope_``. Allowed are names in
    a registry; classes of OpenMMLab's packages and torch that are networks,
    transforms, metrics, datasets or samplers; and OpenMMLab's scopes.

    Args:
        cfg (Any): The part of the config.
        key (str): Its config key.

    Raises:
        ValueError: If a type or scope is not allowed; the message names it.
    """
    for where, scope in walk_scopes(cfg, key):
        if scope not in MODULE2PACKAGE and scope not in _PACKAGES:
            raise ValueError(
                f'Invalid `{where}` in the config of the checkpoint: expected a '
                f'package of OpenMMLab, got {scope!r}, which would be imported. Give '
                'the config of its run.'
            )
    for where, name, _ in walk_types(cfg, key):
        if not (isinstance(name, str) and (_is_registered(name) or _is_part(name))):
            raise ValueError(
                f'Invalid `{where}` in the config of the checkpoint: expected a '
                'type that is registered by an installed package of OpenMMLab, or a '
                'network, transform, metric, dataset or sampler of one, got '
                f'{name!r}, which could run any code. Give the config of its run, '
                'or, if you trust the source of the checkpoint, --trust-checkpoint '
                '(in Python, mmdckd.io.trust.trust_checkpoints()).'
            )


def _is_registered(name: str) -> bool:
    """Tell whether a registry has a name; without a scope, of any package."""
    scope, dot, own = name.partition('.')
    own = own if dot else name
    # MMPretrain's registry of batch augments has no parent in MMEngine.
    roots = dict(vars(mmpretrain.registry), **vars(mmengine.registry))
    for root in roots.values():
        if isinstance(root, Registry):
            for registry in (root, *root.children.values()):
                if not dot or registry.scope == scope:
                    registry.import_from_location()
                    if own in registry.module_dict:
                        return True
    return False


def _is_part(name: str) -> bool:
    module, dot, name = name.rpartition('.')
    if not dot or module.partition('.')[0] not in _PACKAGES:
        return False
    try:
        found = getattr(import_module(module), name, None)
    except ModuleNotFoundError:
        return False
    return isinstance(found, type) and issubclass(found, _BASES)
