# Copyright (c) mmdckd contributors. All rights reserved.
"""Choose the configs that represent the model zoo."""

import json
import os.path as osp
import re
from dataclasses import dataclass
from glob import glob
from tempfile import mkdtemp
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import mmpretrain
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS
from torch.overrides import TorchFunctionMode

from mmdckd.report.image_size import train_image_size

ROOT = osp.join(osp.dirname(mmpretrain.__file__), '.mim', 'configs')

_TINY = dict(num_hidden_layers=2, num_attention_heads=2)
#: Name to model of small random networks of other libraries, which MMPretrain
#: wraps without a config. Their ``config`` is the content of the ``config.json``
#: that `transformers` would download.
WRAPPED: Dict[str, dict] = {
    'timm/resnet18': dict(type='TimmClassifier', model_name='resnet18', num_classes=10),
    'timm/deit_tiny_distilled_patch16_224': dict(
        type='TimmClassifier',
        model_name='deit_tiny_distilled_patch16_224',
        num_classes=10,
    ),
    'transformers/vit': dict(
        type='HuggingFaceClassifier',
        config=dict(model_type='vit', hidden_size=32, intermediate_size=64, **_TINY),
    ),
    'transformers/resnet': dict(
        type='HuggingFaceClassifier',
        config=dict(
            model_type='resnet',
            embedding_size=16,
            hidden_sizes=[16, 32, 64, 128],
            depths=[1, 1, 1, 1],
        ),
    ),
}


@dataclass(frozen=True)
class Entry:
    """One config to check.

    Attributes:
        family (str): The folder of the config in MMPretrain.
        config (str): Its path in MMPretrain's folder of configs, or a name
            in :data:`WRAPPED`.
        backbone (str): The type of its backbone.
        head (str): The type of its head.
        parameters (int, optional): The number of parameters; None if it cannot be
            built.
    """

    family: str
    config: str
    backbone: str
    head: str
    parameters: Optional[int] = None


def families() -> List[str]:
    """List the folders of MMPretrain's configs of any kind."""
    return sorted({osp.relpath(p, ROOT).split('/')[0] for p in _paths()})


def choose(
    names: Optional[Sequence[str]] = None, report: Callable = print
) -> Tuple[List[Entry], Dict[str, str]]:
    """Choose the smallest config of every kind of network in every family.

    Only image classifiers with a head are used: no self-supervised pretraining,
    retrieval, captioning, question answering or other multimodal tasks, and no
    networks in deployment form, which cannot be trained. A kind is a type of
    backbone with a type of head. The smallest config has the fewest parameters
    and, in a tie, the smallest input.

    Args:
        names (Sequence[str], optional): The families. Defaults to None: all.
        report (Callable): Called with a line about each family.

    Returns:
        tuple: The entries, and the configs that cannot be read, with the
        reason.
    """
    smallest: Dict[Tuple[str, str, str], Tuple[tuple, Entry]] = {}
    unreadable: Dict[str, str] = {}
    for family in families() if names is None else names:
        for path in _paths(family):
            name = osp.relpath(path, ROOT)
            try:
                cfg = Config.fromfile(path)
            except Exception as error:
                unreadable[name] = one_line(error)
                continue
            model = cfg.get('model') or {}
            if not _is_classifier(model):
                continue
            parameters = _count_parameters(model)
            entry = Entry(
                family, name, model.backbone.type, model.head.type, parameters
            )
            size = train_image_size(cfg) or (0, 0)
            rank = (parameters is None, parameters or 0, size, name)
            kind = (family, entry.backbone, entry.head)
            if kind not in smallest or rank < smallest[kind][0]:
                smallest[kind] = rank, entry
        kinds = [kind for kind in smallest if kind[0] == family]
        report(
            f'{family}: {len(kinds) or "no"} classifier{"" if len(kinds) == 1 else "s"}'
        )
    return [entry for _, entry in smallest.values()], unreadable


def wrapped_entries() -> List[Entry]:
    """Return the entries of :data:`WRAPPED`."""
    return [
        Entry(model['type'], name, name.split('/')[1], '')
        for name, model in WRAPPED.items()
    ]


def read_config(name: str) -> Config:
    """Read the config of an entry.

    Its pretrained weights are removed, so that nothing is downloaded.

    Args:
        name (str): ``Entry.config``.

    Returns:
        Config: The config.
    """
    path = _write_wrapped(name) if name in WRAPPED else osp.join(ROOT, name)
    cfg = Config.fromfile(path)
    _drop_pretrained(cfg.model)
    return cfg


def one_line(error: BaseException) -> str:
    """Format an exception in one line, without the paths of packages."""
    text = re.sub(r"[^\s'\"]*/site-packages/", '', str(error))
    text = ' '.join(text.split()) or 'no message'
    return f'{type(error).__name__}: {text}'[:300]


def _paths(family: str = '*') -> Iterator[str]:
    pattern = osp.join(ROOT, family, '**/*.py')
    for path in sorted(glob(pattern, recursive=True)):
        if not osp.relpath(path, ROOT).startswith('_base_'):
            yield path


def _is_classifier(model: dict) -> bool:
    if model.get('type') != 'ImageClassifier' or not model.get('head'):
        return False
    return not (model.backbone.get('deploy') or model.head.get('deploy'))


class _WithoutMemory(TorchFunctionMode):
    """Creates parameters that have shapes but no memory."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func is torch.empty:
            kwargs['device'] = 'meta'
        return func(*args, **kwargs)


def _count_parameters(model: dict) -> Optional[int]:
    try:
        with DefaultScope.overwrite_default_scope('mmpretrain'), _WithoutMemory():
            network = MODELS.build(model)
    except Exception:
        # The control check reports why it cannot be built.
        return None
    return sum(parameter.numel() for parameter in network.parameters())


def _drop_pretrained(cfg) -> None:
    for value in cfg.values() if isinstance(cfg, dict) else cfg:
        if isinstance(value, (dict, list)):
            _drop_pretrained(value)
    init_cfg = cfg.get('init_cfg') if isinstance(cfg, dict) else None
    if isinstance(init_cfg, dict) and init_cfg.get('type') == 'Pretrained':
        del cfg['init_cfg']


def _write_wrapped(name: str) -> str:
    folder, model = mkdtemp(), dict(WRAPPED[name])
    config = model.pop('config', None)
    if config is not None:
        config = dict(config, id2label={i: str(i) for i in range(10)})
        with open(osp.join(folder, 'config.json'), 'w') as file:
            json.dump(config, file)
        model['model_name'] = folder
    path = osp.join(folder, 'network.py')
    with open(path, 'w') as file:
        file.write(
            "_base_ = 'mmpretrain::_base_/datasets/imagenet_bs32.py'\n"
            f'model = {model!r}\n'
            'data_preprocessor = dict(num_classes=10)\n'
        )
    return path
