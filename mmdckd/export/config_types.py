# Copyright (c) mmdckd contributors. All rights reserved.
"""Which types a config may name that comes out of a checkpoint."""
from importlib import import_module
from typing import Any, Iterable, Iterator, Tuple

import mmengine.registry
from mmcv.transforms import BaseTransform
from mmengine.evaluator import BaseMetric
from mmengine.registry import Registry
from torch import nn
from torch.utils.data import Dataset, Sampler

_PACKAGES = ('mmcv', 'mmdckd', 'mmengine', 'mmpretrain', 'mmrazor', 'torch')
_BASES = (nn.Module, BaseTransform, BaseMetric, Dataset, Sampler)


def walk_types(cfg: Any,
               path: str,
               scope: str = '') -> Iterator[Tuple[str, Any, str]]:
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


def check_types(cfg: Any, key: str) -> None:
    """Refuse a part of a config that would call what it likes when built.

    MMEngine imports a ``type`` that is in no registry and calls it, be it
    ``os.system``. Taken are names in a registry, and classes of the packages
    of OpenMMLab and torch that are networks, transforms, metrics, datasets or
    samplers.

    Args:
        cfg (Any): The part of the config.
        key (str): Where it is.

    Raises:
        ValueError: If a type is none of these; the message names it.
    """
    for where, name, _ in walk_types(cfg, key):
        if (isinstance(name, str) and '.' in name
                and not (_is_registered(name) or _is_part(name))):
            raise ValueError(
                f'`{where}` in the config of the checkpoint is {name!r}, '
                'which is neither registered by an installed package of '
                'OpenMMLab nor a network, transform, metric, dataset or '
                'sampler of one: building it could run any code. Give the '
                'config of its run, or, if you trust where the checkpoint '
                'comes from, --trust-checkpoint (in Python, '
                'mmdckd.io.trust.trust_checkpoints()).')


def _is_registered(name: str) -> bool:
    scope, _, name = name.partition('.')
    for registry in vars(mmengine.registry).values():
        if isinstance(registry, Registry):
            if scope != registry.scope:
                registry = registry.children.get(scope)
            if registry is not None:
                registry.import_from_location()
                if name in registry.module_dict:
                    return True
    return False


def _is_part(name: str) -> bool:
    module, _, name = name.rpartition('.')
    if module.partition('.')[0] not in _PACKAGES:
        return False
    try:
        found = getattr(import_module(module), name, None)
    except ModuleNotFoundError:
        return False
    return isinstance(found, type) and issubclass(found, _BASES)
