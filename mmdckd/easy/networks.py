# Copyright (c) mmdckd contributors. All rights reserved.
"""Turns the name of a network into its config."""

import importlib
import json
import os.path as osp
from dataclasses import dataclass
from difflib import get_close_matches
from glob import escape, glob
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from mmengine.config import Config
from torch import nn

from mmdckd.console.messages import tell
from mmdckd.errors import invalid
from mmdckd.io.config_file import read_config
from mmdckd.models.backbones.module_backbone import find_function
from mmdckd.models.classifier_keys import classifier_prefixes
from mmdckd.models.transformers_folder import other_weights
from mmdckd.models.weights import read_state_dict

from .zoo import zoo_folder, zoo_paths

FORMS = """a network is one of
  NAME                      a config of MMPretrain's zoo: resnet34_8xb32_in1k
  PATH.py                   a config file, or the config of an exported student
  timm:NAME[,CHECKPOINT]    a timm network
  hf:FOLDER                 a transformers image classifier, saved in a folder
  torchvision:NAME          a torchvision network
  python:PACKAGE.FUNCTION   a function that takes num_classes and returns an
                            nn.Module"""


#: The backbone type that holds a network that is not from MMPretrain.
HOLDER = 'mmdckd.ModuleBackbone'
#: The function that builds a torchvision network.
TORCHVISION = 'mmdckd.models.backbones.torchvision_network.build_network'


@dataclass(frozen=True)
class NamedNetwork:
    """A network that a name stands for.

    Attributes:
        config (dict): The network's config, for ``teacher`` or
            ``architecture`` of a ``CollectiveDistill``.
        name (str): A short name for folders and tables.
        has_weights (bool): Whether it has pretrained weights.
        has_head (bool): Whether it also has a trained head for the classes of
            the data.
        given (nn.Module | Callable, optional): The Python object that the
            config names; None if the config alone describes the network.
    """

    config: dict
    name: str
    has_weights: bool = False
    has_head: bool = False
    given: Optional[Callable[..., Any]] = None


def find_network(
    spec: str, num_classes: int, pretrained: bool = False, key: str = 'network'
) -> NamedNetwork:
    """Find the network that a name stands for, with a head for the data.

    Args:
        spec (str): One of :data:`FORMS`.
        num_classes (int): The number of classes of the data.
        pretrained (bool): Whether to start from the pretrained weights that
            the network's library lists, which are searched where the library
            keeps its downloads. Defaults to False.
        key (str): The argument that the name was given as, for messages.

    Returns:
        NamedNetwork: The network.

    Raises:
        FileNotFoundError: If ``spec`` names a file that does not exist.
        ModuleNotFoundError: If the network's library is not installed.
        ValueError: If there is no such network.
    """
    kind, colon, rest = spec.partition(':')
    if colon and kind in _FINDERS:
        return _FINDERS[kind](rest, num_classes, pretrained, key)
    if spec.endswith('.py'):
        return _from_config(spec, num_classes, pretrained, key)
    if colon:
        near = get_close_matches(kind, list(_FINDERS), 1)
        hint = f' Did you mean {f"{near[0]}:{rest}"!r}?' if near else ''
        raise ValueError(
            f'Invalid `{key}`: expected a network, got {spec!r}.{hint} Otherwise, '
            f'{FORMS}.'
        )
    return _from_zoo(spec, num_classes, pretrained, key)


def _from_zoo(name: str, num_classes: int, pretrained: bool, key: str) -> NamedNetwork:
    paths = zoo_paths()
    if name not in paths:
        hint = _exported_beside(name) or _did_you_mean(name, list(paths))
        raise ValueError(
            f"Invalid `{key}`: expected a config of MMPretrain's zoo, got "
            f'{name!r}.{hint} Otherwise, {FORMS}.'
        )
    config: dict = dict(cfg_path=f'mmpretrain::{paths[name]}')
    base = Config.fromfile(osp.join(zoo_folder(), paths[name]))
    theirs = base.model.get('head', {}).get('num_classes')
    if theirs is None:
        raise invalid(key, 'a classifier with one head', name)
    if theirs != num_classes:
        config['head'] = _head(base.model.head, num_classes)
    if pretrained:
        config['pretrained'] = True
        if theirs != num_classes:
            config['new_head'] = True
            _say_new_head(name, theirs, num_classes)
    return NamedNetwork(config, name, pretrained, pretrained and theirs == num_classes)


def _from_config(
    path: str, num_classes: int, pretrained: bool, key: str
) -> NamedNetwork:
    name = osp.splitext(osp.basename(path))[0]
    if not osp.isfile(path):
        hint = f' Did you mean {name!r}?' if name in zoo_paths() else ''
        raise FileNotFoundError(
            f'Invalid `{key}`: expected an existing file, got {path!r}.{hint}'
        )
    base = read_config(path)
    if 'model' not in base:
        raise ValueError(
            f'Invalid `{key}`: expected the config of a network, with `model`, got '
            f'{path!r}.'
        )
    if 'distiller' in base.model:
        folder = osp.dirname(path) or '.'
        raise invalid(key, 'the config of a network', path, _exported_beside(folder))
    part, count, theirs = _count_of_classes(base.model)
    config: dict = dict(cfg_path=path)
    weights = base.get('load_from')
    if weights:
        config['pretrained'] = weights
    if theirs is not None and theirs != num_classes:
        if part == 'backbone' and weights:
            raise ValueError(
                f'Invalid `{key}`: expected a network for the {num_classes} classes of '
                f'the data, got {path!r}, whose weights are for {theirs} classes. Its '
                'classifier is inside the backbone and cannot be replaced.'
            )
        if part:
            config[part] = _head(base.model[part], num_classes)
        else:
            config[count] = num_classes
        if weights:
            config['new_head'] = True
            _say_new_head(name, theirs, num_classes)
    has_weights = bool(weights)
    return NamedNetwork(
        config, name, has_weights, has_weights and theirs == num_classes
    )


#: Where a network has its number of classes, from the first place to the last: the
#: part, '' for the network itself, and the key.
_COUNTS = (
    ('head', 'num_classes'),
    ('', 'num_classes'),
    ('', 'num_labels'),
    ('backbone', 'num_classes'),
)


def _count_of_classes(model: dict) -> Tuple[str, str, Optional[int]]:
    """Return the place and the value of a network's number of classes."""
    for part, key in _COUNTS:
        owner = model.get(part) if part else model
        if isinstance(owner, dict) and key in owner:
            return part, key, owner[key]
    return '', '', None


def _from_timm(rest: str, num_classes: int, pretrained: bool, key: str) -> NamedNetwork:
    timm = _library('timm', key)
    name, _, checkpoint = rest.partition(',')
    if not timm.is_model(name):
        hint = _did_you_mean(name, timm.list_models())
        raise ValueError(
            f'Invalid `{key}`: expected a timm network, got {name!r}.{hint}'
        )
    config: dict = dict(type='TimmClassifier', model_name=name, num_classes=num_classes)
    if checkpoint:
        theirs = _classes_of(checkpoint, timm.create_model(name), key)
        config['pretrained'] = checkpoint
        if theirs != num_classes:
            config['new_head'] = True
            _say_new_head(name, theirs, num_classes)
        return NamedNetwork(config, name, True, theirs == num_classes)
    if pretrained:
        # timm itself gives the network a head for `num_classes`.
        config['pretrained'] = True
        _say_new_head(name, None, num_classes)
    return NamedNetwork(config, name, pretrained)


def _classes_of(checkpoint: str, network: nn.Module, key: str) -> int:
    """Return the number of classes of the weights of a timm network."""
    if not osp.isfile(checkpoint):
        raise FileNotFoundError(
            f'Invalid `{key}`: expected an existing file, got {checkpoint!r}.'
        )
    weights = read_state_dict(checkpoint, key)
    for prefix in classifier_prefixes(network):
        for name, value in weights.items():
            if name.startswith(prefix) and name.endswith('weight'):
                return len(value)
    hint = ''
    if '_fc.weight' in weights:
        hint = ' Did you mean the output of `mmdckd convert efficientnet`?'
    raise ValueError(
        f'Invalid `{key}`: expected the weights of the timm network '
        f'{type(network).__name__}, got a file without a classifier, '
        f'{checkpoint!r}.{hint}'
    )


def _from_transformers(
    folder: str, num_classes: int, pretrained: bool, key: str
) -> NamedNetwork:
    _library('transformers', key)
    if not osp.isfile(osp.join(folder, 'config.json')):
        raise FileNotFoundError(
            f'Invalid `{key}`: expected a folder with the config.json of a '
            f'transformers image classifier, got {folder!r}. Save one with '
            '`network.save_pretrained(folder)`.'
        )
    config: dict = dict(
        type='HuggingFaceClassifier',
        model_name=folder,
        num_labels=num_classes,
        ignore_mismatched_sizes=True,
    )
    name = osp.basename(osp.normpath(folder))
    weights = osp.join(folder, 'model.safetensors')
    if not osp.isfile(weights):
        other = other_weights(folder)
        if other:
            raise ValueError(
                f'Invalid `{key}`: expected weights in one file, model.safetensors, '
                f'got {other} in {folder!r}. Load the network with transformers and '
                "save it: `network.save_pretrained(folder, max_shard_size='1TB')`."
            )
        return NamedNetwork(config, name)
    with open(osp.join(folder, 'config.json'), encoding='utf-8') as file:
        theirs = len(json.load(file).get('id2label', (0, 1)))
    config['pretrained'] = weights
    if theirs != num_classes:
        config['new_head'] = True
        _say_new_head(name, theirs, num_classes)
    return NamedNetwork(config, name, True, theirs == num_classes)


def _from_torchvision(
    name: str, num_classes: int, pretrained: bool, key: str
) -> NamedNetwork:
    from torchvision import models

    if name not in models.list_models(models):
        hint = _did_you_mean(name, models.list_models(models))
        raise ValueError(
            f'Invalid `{key}`: expected a torchvision classifier, got {name!r}.{hint}'
        )
    config = config_of_module(TORCHVISION, num_classes, name=name)
    if pretrained:
        config['backbone']['weights'] = 'DEFAULT'
        _say_new_head(name, None, num_classes)
    return NamedNetwork(config, name, pretrained)


def _from_python(
    path: str, num_classes: int, pretrained: bool, key: str
) -> NamedNetwork:
    find_function(path, key)
    return NamedNetwork(config_of_module(path, num_classes), path.rpartition('.')[2])


def config_of_module(path: str, num_classes: int, **kwargs: str) -> dict:
    """Return the config of a network that a function returns.

    Args:
        path (str): The import path of the function.
        num_classes (int): Its argument ``num_classes``.
        **kwargs (str): Its other arguments.
    """
    return dict(
        type='ImageClassifier',
        backbone=dict(type=HOLDER, module=path, num_classes=num_classes, **kwargs),
        head=dict(type='ClsHead', loss=dict(type='CrossEntropyLoss')),
    )


_FINDERS: Dict[str, Callable[[str, int, bool, str], NamedNetwork]] = dict(
    timm=_from_timm,
    hf=_from_transformers,
    torchvision=_from_torchvision,
    python=_from_python,
)


def _did_you_mean(name: str, known: Sequence[str]) -> str:
    """Return the suggestion that ends a message about an unknown name."""
    name = name.lower()
    near = [each for each in known if each.startswith(name)][:3] if name else []
    near = near or get_close_matches(name, known, 3, 0.5)
    return f' Did you mean {" or ".join(map(repr, near))}?' if near else ''


def _exported_beside(path: str) -> str:
    """Suggest the config of an exported student for its weights or its folder."""
    stem = osp.splitext(escape(path))[0]
    found = [
        file
        for pattern in (f'{stem}/exported/*.py', f'{stem}/*.py', f'{stem}.py')
        for file in sorted(glob(pattern))
    ]
    return f' Did you mean {found[0]!r}?' if found else ''


def _head(head: dict, num_classes: int) -> dict:
    """Return the changes that adapt a part to another number of classes."""
    changes: dict = dict(num_classes=num_classes)
    if isinstance(head.get('topk'), (list, tuple)):
        changes['topk'] = tuple(k for k in head['topk'] if k <= num_classes)
    return changes


def _library(name: str, key: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'Invalid `{key}`: expected an installed library, got a network that needs '
            f'{name}, which is not installed. Install it with: pip install {name}'
        ) from error


def _say_new_head(name: str, theirs: Optional[int], num_classes: int) -> None:
    had = 'its classes' if theirs is None else f'{theirs} classes'
    tell(f'{name}: the head for {had} is replaced by a new one for {num_classes}.')
