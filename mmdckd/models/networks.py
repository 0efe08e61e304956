# Copyright (c) mmdckd contributors. All rights reserved.
"""Build a network from its config and load its weights."""

import copy
import os.path as osp
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Callable, Mapping, Optional, Union

import torch
from mmengine.config import Config, ConfigDict
from mmengine.config.config import BASE_KEY
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.hub import get_config
from mmengine.model import BaseModel
from torch import nn

from mmdckd.errors import invalid
from mmdckd.io.config_file import read_config
from mmdckd.io.config_text import LONGEST_TEXT, parse_config_text
from mmdckd.io.files import path_below
from mmdckd.io.type_names import is_pretrained_init, type_name
from mmdckd.registry import MODELS

from .options import check_bool
from .weights import load_weights

#: MMPretrain's wrappers of other libraries' networks: they load the library's
#: weights themselves.
WRAPPERS = ('TimmClassifier', 'HuggingFaceClassifier')


@dataclass
class NetworkSpec:
    """The resolved config of a network that is not built yet.

    Attributes:
        model (ConfigDict): The complete, self-contained model config, without
            ``data_preprocessor``.
        data_preprocessor (ConfigDict, optional): The config of its data
            preprocessor; None if the config has none.
        weights (str, optional): Path or URL of its weights.
        key (str): The config key of the network, for error messages.
        new_head (bool): Whether its head is initialized instead of loaded.
    """

    model: ConfigDict
    data_preprocessor: Optional[ConfigDict]
    weights: Optional[str]
    key: str
    new_head: bool = False


def resolve_network(
    cfg: Union[dict, ConfigDict], key: str, trusted: bool = True
) -> NetworkSpec:
    """Resolve the config of one network.

    A config has one of two forms:

    - ``dict(cfg_path='mmpretrain::resnet/resnet18_8xb32_in1k.py')``, or the
      path of a local config file, with ``pretrained=True`` for the weights
      that the package's model index lists (or ``pretrained='a/file.pth'``).
      Further keys are merged over the ``model`` of that config.
    - ``dict(type='ImageClassifier', backbone=..., ...)``: a model config, with
      ``pretrained='a/file.pth'`` or ``init_cfg=dict(type='Pretrained',
      checkpoint='a/file.pth')`` for its weights. ``TimmClassifier`` and
      ``HuggingFaceClassifier`` take ``pretrained=True`` as well.

    With ``new_head=True``, the head is initialized and everything else is
    loaded, to fine-tune a network on other classes.

    Types without a scope are MMPretrain's.

    Args:
        cfg (dict): The network's config.
        key (str): The config key of the network.
        trusted (bool): Whether ``cfg`` comes from the user. If not, for
            example if it comes from a checkpoint, a local ``cfg_path`` is read
            without running it, and a package has to be installed. Defaults to
            True.

    Returns:
        NetworkSpec: The network to build.

    Raises:
        TypeError: If ``cfg`` is not a dict, or ``cfg_path`` not a string.
        ValueError: If it has neither ``type`` nor ``cfg_path``, or ``cfg_path``
            does not exist, or reading it would run code that is not trusted.
    """
    if not isinstance(cfg, dict):
        raise TypeError(
            f'Invalid `{key}`: expected a dict that describes a network, got {cfg!r}.'
        )
    cfg = ConfigDict(copy.deepcopy(dict(cfg)))
    pretrained = cfg.pop('pretrained', None)
    new_head = cfg.pop('new_head', False)
    check_bool(f'{key}.new_head', new_head)
    if 'cfg_path' in cfg:
        cfg_path = cfg.pop('cfg_path')
        if not isinstance(cfg_path, str):
            raise TypeError(
                f'Invalid `{key}.cfg_path`: expected the path of a config, '
                f'got {cfg_path!r}.'
            )
        cfg.pop('_scope_', None)
        base = _read_config(cfg_path, pretrained is True, key, trusted)
        model = Config._merge_a_into_b(cfg, base.model)
        preprocessor = model.pop('data_preprocessor', base.get('data_preprocessor'))
        if pretrained is True:
            pretrained = base.model_path
    elif 'type' in cfg:
        model = cfg
        preprocessor = model.pop('data_preprocessor', None)
        if pretrained is True and type_name(model.type) in WRAPPERS:
            model.pretrained, pretrained = True, None
        elif pretrained is True:
            expected = 'the path of a checkpoint together with `type`'
            hint = ' Only a `cfg_path` of a package that lists weights accepts True.'
            raise invalid(f'{key}.pretrained', expected, True, hint)
    else:
        raise ValueError(
            f'Invalid `{key}`: expected `cfg_path` (the config of a package or a '
            f'file) or `type` (a model config), got only {sorted(cfg)}.'
        )
    init_cfg = model.get('init_cfg')
    if (
        not pretrained
        and is_pretrained_init(init_cfg)
        and init_cfg.get('checkpoint')
        and not init_cfg.get('prefix')
    ):
        pretrained = model.pop('init_cfg').checkpoint
    if new_head and not pretrained:
        expected = f'False without `{key}.pretrained`, the weights of the other layers'
        raise invalid(f'{key}.new_head', expected, new_head)
    # Its parts are looked up in MMPretrain, whatever scope is current.
    model.setdefault('_scope_', 'mmpretrain')
    return NetworkSpec(model, preprocessor, pretrained or None, key, new_head)


def _read_config(cfg_path: str, pretrained: bool, key: str, trusted: bool) -> Config:
    if '::' not in cfg_path:
        if not osp.isfile(cfg_path):
            expected = (
                'an existing file, or a config of an installed package such as '
                "'mmpretrain::resnet/resnet18_8xb32_in1k.py'"
            )
            raise invalid(f'{key}.cfg_path', expected, cfg_path)
        if pretrained:
            expected = 'the path of a checkpoint together with a local `cfg_path`'
            hint = ' Only a `cfg_path` of a package that lists weights accepts True.'
            raise invalid(f'{key}.pretrained', expected, True, hint)
        cfg = read_config(cfg_path) if trusted else _read_values(cfg_path, key)
    else:
        if not trusted:
            _check_package(cfg_path, key)
        package, _, path = cfg_path.partition('::')
        if package == 'mmcls' and find_spec('mmcls') is None:
            # MMEngine would install mmcls 0.25, which breaks mmrazor.
            raise ValueError(
                f'Invalid `{key}.cfg_path`: expected a config of an installed '
                f"package, got {cfg_path!r}. Did you mean 'mmpretrain::{path}'?"
            )
        try:
            cfg = get_config(cfg_path, pretrained=pretrained)
        except (FileNotFoundError, AssertionError, KeyError) as error:
            raise ValueError(
                f'Invalid `{key}.cfg_path`: expected a config of an installed '
                f'package, got {cfg_path!r} ({error}).'
            ) from error
    if 'model' not in cfg:
        raise invalid(f'{key}.cfg_path', 'a config with `model`', cfg_path)
    return cfg


def _read_values(cfg_path: str, key: str) -> Config:
    """Read a config file that contains only values, without running it."""
    try:
        with open(cfg_path, encoding='utf-8') as file:
            cfg = parse_config_text(file.read(LONGEST_TEXT + 1))
    except ValueError as error:
        raise ValueError(
            f'Invalid `{key}.cfg_path`: expected a config that can be read '
            f'without running it, as its path comes from a checkpoint, got '
            f'{cfg_path!r} ({error}). Give the config of the run.'
        ) from error
    if BASE_KEY in cfg:
        raise invalid(
            f'{key}.cfg_path',
            'a config that does not inherit, as its path comes from a checkpoint',
            cfg_path,
            ' Give the config of the run.',
        )
    return cfg


def _check_package(cfg_path: str, key: str) -> None:
    """Check that a config is in an installed package."""
    package, _, path = cfg_path.partition('::')
    if package not in MODULE2PACKAGE or find_spec(package) is None:
        raise invalid(
            f'{key}.cfg_path',
            'a config of an installed package of OpenMMLab, as its path comes '
            'from a checkpoint',
            cfg_path,
        )
    path_below('configs', path)


def build_network(spec: NetworkSpec) -> BaseModel:
    """Build a network and load its weights, if it has any.

    Returns:
        BaseModel: The network. Two attributes describe its head for
        :func:`~mmdckd.engine.checks.class_names.names_of_members`:
        ``has_pretrained_head`` and ``pretrained_classes``, the names of the
        classes it was trained on, or None.

    Raises:
        TypeError: If the config builds something other than a
            :class:`mmengine.model.BaseModel`.
        ValueError: If the weights do not fit; see
            :func:`~mmdckd.models.weights.load_weights`.
    """
    cfg = copy.deepcopy(spec.model)
    if spec.data_preprocessor is not None:
        cfg.data_preprocessor = copy.deepcopy(spec.data_preprocessor)
    network = MODELS.build(cfg)
    if not isinstance(network, BaseModel):
        raise TypeError(
            f'Invalid `{spec.key}.type`: expected a model, got '
            f'{spec.model.type!r}, which is a {type(network).__name__}.'
        )
    for key, hook in network._state_dict_hooks.items():
        if not getattr(hook, '_from_public_api', False):
            network._state_dict_hooks[key] = partial(_in_place, hook)
    if cfg.get('pretrained') is True:
        # MMEngine would initialize the loaded network again.
        for module in network.modules():
            module._is_init = True
    network.has_pretrained_head = bool(spec.weights) and not spec.new_head
    network.pretrained_classes = None
    if spec.weights:
        network.pretrained_classes = load_weights(
            network, spec.weights, spec.key, spec.new_head
        )
    return network


def _in_place(hook: Callable, network: BaseModel, state_dict: dict, *args) -> None:
    """Let a hook that returns a new state dict change the given one in place.

    PyTorch uses the return value only if the module is the outermost one.
    MMPretrain's ``TimmClassifier`` and ``HuggingFaceClassifier`` rename keys
    this way, so inside a cohort they would be saved under names that they
    cannot load.
    """
    renamed = hook(network, state_dict, *args)
    if renamed is not None and renamed is not state_dict:
        state_dict.clear()
        state_dict.update(renamed)


def num_classes_of(network: BaseModel) -> Optional[int]:
    """Return the number of classes that a network predicts, or None if unknown.

    Classifiers of MMPretrain store it in their head, wrapped networks of timm
    or transformers in their ``model``; an algorithm has a ``cohort`` of them.
    """
    cohort, head, model = (
        getattr(network, name, None) for name in ('cohort', 'head', 'model')
    )
    for owner in (cohort, head, model, getattr(model, 'config', None)):
        for name in ('num_classes', 'num_labels'):
            if isinstance(getattr(owner, name, None), int):
                return getattr(owner, name)
    return None


def check_same_classes(key: str, classes: Mapping[str, Optional[int]]) -> None:
    """Check that networks predict the same number of classes.

    Args:
        key (str): The config key of the networks, for error messages.
        classes (Dict[str, int]): Name to number of classes; None if it is
            unknown.

    Raises:
        ValueError: If two numbers differ.
    """
    if len(set(classes.values()) - {None}) > 1:
        listed = ', '.join(f'{name}: {count}' for name, count in classes.items())
        raise ValueError(
            f'Invalid `{key}`: expected the same number of classes for all networks, '
            f'got {listed}.'
        )


def classifier_weight(network: BaseModel) -> Optional[torch.Tensor]:
    """Return the weights of a network's last linear layer.

    Args:
        network (BaseModel): A classifier.

    Returns:
        Tensor, optional: (C, D); None if that layer does not predict the
        classes.
    """
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
    if not linear or linear[-1].out_features != num_classes_of(network):
        return None
    return linear[-1].weight
