# Copyright (c) mmdckd contributors. All rights reserved.
"""Which types a config may name that comes out of a checkpoint."""

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
    """Walk through a config.

    Args:
        cfg (Any): The config, or a part of one.
        path (str): Where it is.
        scope (str): The scope it is in. Defaults to ''.

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
    """The path and the value of every scope in a config."""
    if isinstance(cfg, dict):
        for key, value in cfg.items():
            if key in ('_scope_', 'default_scope'):
                yield f'{path}.{key}', value
            yield from walk_scopes(value, f'{path}.{key}')
    elif isinstance(cfg, (list, tuple)):
        for index, value in enumerate(cfg):
            yield from walk_scopes(value, f'{path}.{index}')


def check_types(cfg: Any, key: str) -> None:
    """Refuse a part of a config that would call what it likes when built.

    MMEngine imports a ``type`` that is in no registry and calls it, be it
    ``os.system``, and imports the package that a ``_scope_`` names. Taken are
    names in a registry, classes of the packages of OpenMMLab and torch that
    are networks, transforms, metrics, datasets or samplers, and the scopes of
    OpenMMLab.

    Args:
        cfg (Any): The part of the config.
        key (str): Where it is.

    Raises:
        ValueError: If a type or scope is none of these; the message names it.
    """
    for where, scope in walk_scopes(cfg, key):
        if scope not in MODULE2PACKAGE and scope not in _PACKAGES:
            raise ValueError(
                f'`{where}` in the config of the checkpoint is {scope!r}, '
                'which is no package of OpenMMLab: to look there would import '
                'it. Give the config of its run.'
            )
    for where, name, _ in walk_types(cfg, key):
        if not (isinstance(name, str) and (_is_registered(name) or _is_part(name))):
            raise ValueError(
                f'`{where}` in the config of the checkpoint is {name!r}, '
                'which is neither registered by an installed package of '
                'OpenMMLab nor a network, transform, metric, dataset or '
                'sampler of one: building it could run any code. Give the '
                'config of its run, or, if you trust where the checkpoint '
                'comes from, --trust-checkpoint (in Python, '
                'mmdckd.io.trust.trust_checkpoints()).'
            )


def _is_registered(name: str) -> bool:
    """Whether a registry has it; without a scope, one of any package."""
    scope, dot, own = name.partition('.')
    own = own if dot else name
    # MMPretrain's batch augments have no root in MMEngine.
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
