# Copyright (c) mmdckd contributors. All rights reserved.
"""From what a config says of a network to the network itself."""

import copy
import os.path as osp
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Callable, Optional, Union

import torch
from mmengine.config import Config, ConfigDict
from mmengine.config.config import BASE_KEY
from mmengine.config.utils import MODULE2PACKAGE
from mmengine.hub import get_config
from mmengine.model import BaseModel
from torch import nn

from mmdckd.io.config_text import LONGEST_TEXT, parse_config_text
from mmdckd.io.files import path_below
from mmdckd.registry import MODELS

from .weights import load_weights

#: Networks of other libraries that MMPretrain wraps: these load the weights
#: that the library lists by themselves.
WRAPPERS = ('TimmClassifier', 'HuggingFaceClassifier')


@dataclass
class NetworkSpec:
    """One network, as its config describes it, not yet built.

    Attributes:
        model (ConfigDict): The model config, complete and self-contained,
            without ``data_preprocessor``.
        data_preprocessor (ConfigDict, optional): The config of its data
            preprocessor; None where the config names none.
        weights (str, optional): Path or address of its weights.
        key (str): The config key it comes from, for the messages.
        new_head (bool): Whether its head starts anew, beside the weights.
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

    Two forms are understood:

    - ``dict(cfg_path='mmpretrain::resnet/resnet18_8xb32_in1k.py')``, or the
      path of a local config file, with ``pretrained=True`` for the weights
      that the package's model index lists (or ``pretrained='a/file.pth'``).
      Further keys are merged over the ``model`` of that config.
    - ``dict(type='ImageClassifier', backbone=..., ...)``: a model config, with
      ``pretrained='a/file.pth'`` or ``init_cfg=dict(type='Pretrained',
      checkpoint='a/file.pth')`` for its weights. ``TimmClassifier`` and
      ``HuggingFaceClassifier`` take ``pretrained=True`` as well.

    With ``new_head=True`` everything but the head comes from the weights, and
    the head starts anew: so a network is fine-tuned on other classes.

    Types without a scope are MMPretrain's.

    Args:
        cfg (dict): The network's config.
        key (str): The config key it comes from.
        trusted (bool): Whether ``cfg`` comes from the user. If not, as from a
            checkpoint, a local ``cfg_path`` is read without running it, and
            that of a package has to be one of an installed package. Defaults
            to True.

    Returns:
        NetworkSpec: What is to be built.

    Raises:
        TypeError: If ``cfg`` is no dict, or ``cfg_path`` no string.
        ValueError: If it has neither ``type`` nor ``cfg_path``, or if
            ``cfg_path`` cannot be found, or would have to be run and is not
            trusted.
    """
    if not isinstance(cfg, dict):
        raise TypeError(
            f'`{key}` should be a dict that describes a network, '
            f'but got {type(cfg).__name__}.'
        )
    cfg = ConfigDict(copy.deepcopy(dict(cfg)))
    pretrained = cfg.pop('pretrained', None)
    new_head = cfg.pop('new_head', False)
    if 'cfg_path' in cfg:
        cfg_path = cfg.pop('cfg_path')
        if not isinstance(cfg_path, str):
            raise TypeError(f'`{key}.cfg_path` names a config, but got {cfg_path!r}.')
        cfg.pop('_scope_', None)
        base = _read_config(cfg_path, pretrained is True, key, trusted)
        model = Config._merge_a_into_b(cfg, base.model)
        preprocessor = model.pop('data_preprocessor', base.get('data_preprocessor'))
        if pretrained is True:
            pretrained = base.model_path
    elif 'type' in cfg:
        model = cfg
        preprocessor = model.pop('data_preprocessor', None)
        if pretrained is True and str(model.type).split('.')[-1] in WRAPPERS:
            model.pretrained, pretrained = True, None
        elif pretrained is True:
            raise ValueError(
                f'`{key}.pretrained=True` needs a `cfg_path` whose package '
                'lists the weights; with a `type`, give the path of a '
                'checkpoint.'
            )
    else:
        raise ValueError(
            f'`{key}` needs `cfg_path` (a config of a package or a file) or '
            f'`type` (a model config), but has only {sorted(cfg)}.'
        )
    init_cfg = model.get('init_cfg')
    if (
        not pretrained
        and isinstance(init_cfg, dict)
        and init_cfg.get('type') == 'Pretrained'
        and not init_cfg.get('prefix')
    ):
        pretrained = model.pop('init_cfg').checkpoint
    if new_head and not pretrained:
        raise ValueError(
            f'`{key}.new_head` needs `{key}.pretrained`: the '
            'weights of all but the head.'
        )
    # Its children are looked up where it comes from, whatever scope is
    # current.
    model.setdefault('_scope_', 'mmpretrain')
    return NetworkSpec(model, preprocessor, pretrained or None, key, new_head)


def _read_config(cfg_path: str, pretrained: bool, key: str, trusted: bool) -> Config:
    if '::' not in cfg_path:
        if not osp.isfile(cfg_path):
            raise ValueError(
                f'`{key}.cfg_path` names {cfg_path!r}, and there is no such '
                'file. A config of an installed package is written '
                '"mmpretrain::resnet/resnet18_8xb32_in1k.py".'
            )
        if pretrained:
            raise ValueError(
                f'`{key}.pretrained=True` needs a config of a package that '
                'lists its weights; with a local config, give the path of a '
                'checkpoint.'
            )
        cfg = Config.fromfile(cfg_path) if trusted else _read_values(cfg_path, key)
    else:
        if not trusted:
            _check_package(cfg_path, key)
        package, _, path = cfg_path.partition('::')
        if package == 'mmcls' and find_spec('mmcls') is None:
            # MMEngine would install mmcls 0.25, which mmrazor does not stand.
            raise ValueError(
                f'Invalid `{key}.cfg_path`: expected a config of an installed '
                f"package, got {cfg_path!r}. Did you mean 'mmpretrain::{path}'?"
            )
        try:
            cfg = get_config(cfg_path, pretrained=pretrained)
        except (FileNotFoundError, AssertionError, KeyError) as error:
            raise ValueError(
                f'`{key}.cfg_path`={cfg_path!r} cannot be used: {error}'
            ) from error
    if 'model' not in cfg:
        raise ValueError(f'`{key}.cfg_path`={cfg_path!r} holds no `model`.')
    return cfg


def _read_values(cfg_path: str, key: str) -> Config:
    """Read a config file that holds nothing but values."""
    try:
        with open(cfg_path, encoding='utf-8') as file:
            cfg = parse_config_text(file.read(LONGEST_TEXT + 1))
    except ValueError as error:
        raise ValueError(
            f'`{key}.cfg_path`={cfg_path!r} comes from a checkpoint, and '
            f'cannot be read without running it: {error}. Give the config of '
            'the run.'
        ) from error
    if BASE_KEY in cfg:
        raise ValueError(
            f'`{key}.cfg_path`={cfg_path!r} comes from a checkpoint and '
            'inherits from another file, which is not run. Give the config '
            'of the run.'
        )
    return cfg


def _check_package(cfg_path: str, key: str) -> None:
    """Refuse a config outside the packages that are installed."""
    package, _, path = cfg_path.partition('::')
    if package not in MODULE2PACKAGE or find_spec(package) is None:
        raise ValueError(
            f'`{key}.cfg_path`={cfg_path!r} comes from a checkpoint and '
            f'names {package!r}, which is no installed package of OpenMMLab.'
        )
    path_below('configs', path)


def build_network(spec: NetworkSpec) -> BaseModel:
    """Build a network and load its weights, if it has any.

    Returns:
        BaseModel: The network. Two attributes say what its head was trained on
        before, for :func:`~mmdckd.engine.checks.class_names.names_of_members`:
        ``has_pretrained_head`` and, where it has, ``pretrained_classes``.

    Raises:
        TypeError: If what is built is no :class:`mmengine.model.BaseModel`.
        ValueError: If the weights do not fit; see
            :func:`~mmdckd.models.weights.load_weights`.
    """
    cfg = copy.deepcopy(spec.model)
    if spec.data_preprocessor is not None:
        cfg.data_preprocessor = copy.deepcopy(spec.data_preprocessor)
    network = MODELS.build(cfg)
    if not isinstance(network, BaseModel):
        raise TypeError(
            f'`{spec.key}` should describe a model, but '
            f'{spec.model.type!r} is a '
            f'{type(network).__name__}.'
        )
    for key, hook in network._state_dict_hooks.items():
        if not getattr(hook, '_from_public_api', False):
            network._state_dict_hooks[key] = partial(_in_place, hook)
    if cfg.get('pretrained') is True:
        # MMEngine would call what such a network initializes itself with.
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
    """Let a hook that returns another state dict change the one it is given.

    PyTorch takes what a hook returns from the outermost module alone.
    MMPretrain's ``TimmClassifier`` and ``HuggingFaceClassifier`` rename their
    keys so: inside a cohort they would be saved under names that they do not
    load.
    """
    renamed = hook(network, state_dict, *args)
    if renamed is not None and renamed is not state_dict:
        state_dict.clear()
        state_dict.update(renamed)


def num_classes_of(network: BaseModel) -> Optional[int]:
    """The number of classes a network says it predicts, if it says so.

    A classifier of MMPretrain says it by its head, one of timm or
    transformers, which MMPretrain wraps, by its ``model``.
    """
    head = getattr(network, 'head', None)
    model = getattr(network, 'model', None)
    for owner in (head, model, getattr(model, 'config', None)):
        for name in ('num_classes', 'num_labels'):
            if isinstance(getattr(owner, name, None), int):
                return getattr(owner, name)
    return None


def classifier_weight(network: BaseModel) -> Optional[torch.Tensor]:
    """The weights (C, D) of a network's last linear layer, if it predicts the
    classes.

    Args:
        network (BaseModel): A classifier.
    """
    linear = [m for m in network.modules() if isinstance(m, nn.Linear)]
    if not linear or linear[-1].out_features != num_classes_of(network):
        return None
    return linear[-1].weight
