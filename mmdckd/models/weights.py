# Copyright (c) mmdckd contributors. All rights reserved.
"""Weights from a file: read safely, loaded whole or refused."""

import os.path as osp
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional, Tuple

import torch
from mmengine.dist import barrier, get_dist_info
from mmengine.model import BaseModule, PretrainedInit
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from mmdckd.console.messages import warn
from mmdckd.io.checkpoints import (
    class_names_in,
    describe_content,
    require_fit,
    state_dict_in,
)
from mmdckd.io.trust import loading

from .classifier_keys import head_prefixes
from .transformers_folder import is_transformers_file, read_transformers_folder

#: What a cohort's checkpoint may have or lack beside its members.
BESIDE_MEMBERS = ('distiller.', 'lagged_peers.')
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)


def read_checkpoint(path: str, key: str) -> dict:
    """Read a checkpoint file.

    The file is read with ``weights_only=True``: it cannot run code, unless
    :func:`~mmdckd.io.trust.trust_checkpoints` was called.

    Args:
        path (str): A local path; an ``http(s)://`` address, which is
            downloaded once (by the first process) into torch's hub folder; or
            another address that MMEngine knows, as ``torchvision://``. A
            ``.safetensors`` file holds a state dict.
        key (str): What gave the path, for the messages.

    Returns:
        dict: The file's content, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read, needs code to be run, or holds
            no dict.
    """
    what = f'`{key}`: the checkpoint {path!r}'
    if path.startswith(('http://', 'https://')):
        checkpoint = _download(path, key)
    elif '://' in path:
        checkpoint = CheckpointLoader.load_checkpoint(path, 'cpu', None)
    else:
        path = osp.expanduser(path)
        if not osp.isfile(path):
            raise FileNotFoundError(
                f'`{key}` names the checkpoint {path!r}, and there is no such file.'
            )
        try:
            checkpoint = _read(path, what)
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(
                f'{what} cannot be read; it is truncated, or no file of '
                f'PyTorch. PyTorch says: {error}'
            ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f'`{key}`: the file {path!r} is no checkpoint: it '
            f'holds a {type(checkpoint).__name__}.'
        )
    return checkpoint


def read_state_dict(path: str, key: str) -> Dict[str, torch.Tensor]:
    """Read the weights in a checkpoint file.

    Args:
        path (str): As of :func:`read_checkpoint`.
        key (str): What gave the path, for the messages.

    Returns:
        Dict[str, Tensor]: The content of ``state_dict``, ``model``, or the
        file itself, whichever holds tensors. A ``module.`` prefix that every
        key has is removed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read or holds no state dict.
    """
    return _weights_in(read_checkpoint(path, key), path, key)


def _weights_in(checkpoint: dict, path: str, key: str) -> Dict[str, torch.Tensor]:
    weights = state_dict_in(checkpoint)
    if not any(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ValueError(
            f'`{key}`: the file {path!r} holds no state dict; expected a '
            'mapping from parameter names to tensors, at the top or under '
            '"state_dict" or "model".'
        )
    return weights


def _read(path: str, what: str) -> dict:
    if is_transformers_file(path):
        return read_transformers_folder(osp.dirname(path))
    if path.endswith('.safetensors'):
        from safetensors.torch import load_file

        return load_file(path)
    with loading(what, path) as weights_only:
        return torch.load(path, map_location='cpu', weights_only=weights_only)


def _download(url: str, key: str) -> dict:

    def load():
        with loading(f'`{key}`: the file at {url}', url) as weights_only:
            return torch.hub.load_state_dict_from_url(
                url, map_location='cpu', weights_only=weights_only
            )

    rank, world_size = get_dist_info()
    try:
        if rank == 0:
            checkpoint = load()
        if world_size > 1:
            barrier()
            if rank > 0:
                checkpoint = load()
    except ValueError:
        raise
    except Exception as error:
        raise ValueError(
            f'`{key}`: the weights at {url} cannot be had ({error}). '
            'Download the file elsewhere and give its path instead, or put it at '
            f'{hub_path(url)}.'
        ) from error
    return checkpoint


def hub_path(url: str) -> str:
    """Where PyTorch keeps a file that it downloads.

    Args:
        url (str): The address of the file.
    """
    return osp.join(torch.hub.get_dir(), 'checkpoints', osp.basename(url))


def load_weights(
    model: nn.Module, path: str, key: str, new_head: bool = False
) -> Optional[Tuple[str, ...]]:
    """Load a checkpoint file into a network, every key of it.

    Args:
        model (nn.Module): The network; it is marked initialized, so that
            ``init_weights`` leaves it alone.
        path (str): See :func:`read_state_dict`.
        key (str): The config key that gave the path, for the messages.
        new_head (bool): Whether the network keeps a head of its own, freshly
            initialized, whatever head the file has. Defaults to False.

    Returns:
        Tuple[str], optional: The names of the classes that the head was
        trained on; None where the file does not tell, or the head is new.

    Raises:
        ValueError: If a parameter is missing from the file, if the file has a
            key that the network has not, or if shapes differ. The message
            lists them. Or if ``new_head`` is set, and there is no ``head``.
    """
    checkpoint = read_checkpoint(path, key)
    weights = _weights_in(checkpoint, path, key)
    classes = class_names_in(checkpoint)
    if new_head:
        head = head_prefixes(model)
        if not head:
            raise ValueError(
                f'Invalid `{key}.new_head`: expected a network with a `head`, '
                f'got {describe_content(model.state_dict())}.'
            )
        model.init_weights()  # type: ignore[operator]
        weights = {
            name: value for name, value in weights.items() if not name.startswith(head)
        }
        classes = None
    require_fit(
        model,
        weights,
        f'`{key}`: the checkpoint {path!r}',
        may_lack=head if new_head else (),
    )
    for module in model.modules():
        if hasattr(module, 'init_weights'):
            module._is_init = True
    return classes


def load_pretraining(model: nn.Module, path: str, key: str) -> None:
    """Load the checkpoint of an earlier run into a model that may have more.

    Pretrained connectors, for instance, are followed by a run that has others
    beside them.

    Args:
        model (nn.Module): The model.
        path (str): See :func:`read_state_dict`.
        key (str): The config key that gave the path, for the messages.

    Raises:
        ValueError: If the file has a key that the model has not, lacks one of
            a member, or if shapes differ; the message lists them. What else
            the file lacks is a warning.
    """
    lines = require_fit(
        model,
        read_state_dict(path, key),
        f'`{key}`: the checkpoint {path!r}',
        may_lack=BESIDE_MEMBERS,
    )
    for line in lines:
        warn(
            f'`{key}`: the checkpoint {path!r} does not have all of the '
            f'model; the rest starts anew. {line}'
        )


@contextmanager
def loading_whole(model: BaseModule, key: str) -> Iterator[None]:
    """Load the checkpoint of a model's ``Pretrained`` config as a whole.

    MMEngine would load what fits, and log the rest. Inside this context it
    initializes the model as without this config; at the end, the checkpoint
    is loaded by :func:`load_pretraining`.

    Args:
        model (BaseModule): The model.
        key (str): Its config key, for the messages.
    """
    cfg = model.init_cfg
    whole = (
        isinstance(cfg, dict)
        and cfg.get('type') == 'Pretrained'
        and not cfg.get('prefix')
    )
    if not whole or model.is_init:
        yield
        return
    model.init_cfg = None
    yield
    model.init_cfg = cfg
    load_pretraining(model, cfg['checkpoint'], f'{key}.init_cfg.checkpoint')


def check_pretrained_parts(network: nn.Module, key: str) -> None:
    """Check the files that ``init_cfg`` of the parts of a network name.

    MMEngine loads what fits of such a file and logs the rest. Here all of a
    part has to be in its file, but for what cannot start at random: the scale
    and shift of a normalization layer. The file may have what the part has no
    place for, as a backbone has none for a head.

    Args:
        network (nn.Module): The network, before ``init_weights``.
        key (str): The config key of the network, for the messages.

    Raises:
        ValueError: If a file does not fit; see
            :func:`~mmdckd.io.checkpoints.require_fit`.
    """
    for name, part in network.named_modules():
        for cfg in _pretrained_cfgs(part):
            own_key = '.'.join(filter(None, (key, name, 'init_cfg')))
            _check_pretrained_part(part, cfg, own_key)


def _pretrained_cfgs(part: nn.Module) -> Iterator[Dict[str, Any]]:
    cfgs = getattr(part, 'init_cfg', None) or []
    for cfg in [cfgs] if isinstance(cfgs, dict) else cfgs:
        if isinstance(cfg, dict) and cfg.get('type') in ('Pretrained', PretrainedInit):
            yield cfg


def _check_pretrained_part(part: nn.Module, cfg: Dict[str, Any], key: str) -> None:
    path, prefix = cfg.get('checkpoint'), cfg.get('prefix')
    if not path or not isinstance(path, str):
        raise ValueError(
            f'Invalid `{key}.checkpoint`: expected the path of a '
            f'checkpoint, got {path!r}.'
        )
    everything = read_state_dict(path, f'{key}.checkpoint')
    weights = everything
    if prefix:
        prefix = prefix if prefix.endswith('.') else f'{prefix}.'
        weights = {
            name[len(prefix) :]: value
            for name, value in everything.items()
            if name.startswith(prefix)
        }
        if not weights:
            raise ValueError(
                f'Invalid `{key}.prefix`: no key of {path!r} starts with '
                f'{prefix!r}. The file holds '
                f'{describe_content(everything)}.'
            )
    own = {name.partition('.')[0] for name in part.state_dict()}
    lines = require_fit(
        part,
        weights,
        f'`{key}`: the checkpoint {path!r}',
        remedy='Give the checkpoint of this very architecture, and `prefix` '
        'where the part is inside a whole network.',
        may_lack=[
            f'{name}.'
            for name, module in part.named_modules()
            if isinstance(module, _NORMS)
        ],
        may_exceed=[
            name
            for name, value in weights.items()
            if name.partition('.')[0] not in own or getattr(value, 'ndim', 0) <= 1
        ],
    )
    for line in lines:
        warn(f'`{key}`: not all of {path!r} and of the network fits. {line}')
