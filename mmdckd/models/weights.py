# Copyright (c) mmdckd contributors. All rights reserved.
"""Read weights from a file safely, and load all of them or none."""

import os.path as osp
from contextlib import contextmanager
from typing import Any, Dict, Iterator, Optional, Tuple

import torch
from mmengine.dist import barrier, get_dist_info
from mmengine.model import BaseModule
from mmengine.runner.checkpoint import CheckpointLoader
from torch import nn

from mmdckd.console.messages import warn
from mmdckd.errors import invalid
from mmdckd.io.checkpoints import (
    class_names_in,
    describe_content,
    require_fit,
    state_dict_in,
)
from mmdckd.io.trust import loading
from mmdckd.io.type_names import is_pretrained_init

from .classifier_keys import head_prefixes
from .transformers_folder import is_transformers_file, read_transformers_folder

#: Prefixes of parts other than members, which a cohort's checkpoint may lack.
BESIDE_MEMBERS = ('distiller.', 'lagged_peers.')
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm)


def read_checkpoint(path: str, key: str) -> dict:
    """Read a checkpoint file.

    The file is read with ``weights_only=True``: it cannot run code, unless
    :func:`~mmdckd.io.trust.trust_checkpoints` was called.

    Args:
        path (str): A local path; an ``http(s)://`` URL, which the first
            process downloads once into torch's hub folder; or a URL that
            MMEngine supports, such as ``torchvision://``. A ``.safetensors``
            file contains a state dict.
        key (str): The config key of the path, for error messages.

    Returns:
        dict: The file's content, on the CPU.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the path is not a string, or the file cannot be read,
            would run code, or does not contain a dict.
    """
    if not isinstance(path, str):
        raise invalid(key, 'the path or URL of a checkpoint', path)
    if path.startswith(('http://', 'https://')):
        checkpoint = _download(path, key)
    elif '://' in path:
        checkpoint = CheckpointLoader.load_checkpoint(path, 'cpu', None)
    else:
        path = osp.expanduser(path)
        if not osp.isfile(path):
            raise FileNotFoundError(
                f'Invalid `{key}`: expected an existing checkpoint, got {path!r}.'
            )
        try:
            checkpoint = _read(path, key)
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(
                f'Invalid `{key}`: expected a PyTorch file, got {path!r}, which is '
                f'truncated or of another kind. PyTorch says: {error}'
            ) from error
    if not isinstance(checkpoint, dict):
        raise ValueError(
            f'Invalid `{key}`: expected a checkpoint, a dict, got a '
            f'{type(checkpoint).__name__} in {path!r}.'
        )
    return checkpoint


def read_state_dict(path: str, key: str) -> Dict[str, torch.Tensor]:
    """Read the weights in a checkpoint file.

    Args:
        path (str): See :func:`read_checkpoint`.
        key (str): The config key of the path, for error messages.

    Returns:
        Dict[str, Tensor]: The content of ``state_dict`` or ``model``, or the
        file itself, whichever contains tensors. A ``module.`` prefix that all
        keys share is removed.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file cannot be read or contains no state dict.
    """
    return _weights_in(read_checkpoint(path, key), path, key)


def _weights_in(checkpoint: dict, path: str, key: str) -> Dict[str, torch.Tensor]:
    weights = state_dict_in(checkpoint)
    if not any(isinstance(value, torch.Tensor) for value in weights.values()):
        raise ValueError(
            f'Invalid `{key}`: expected a state dict, a mapping from parameter names '
            'to tensors, at the top level or under "state_dict" or "model", got no '
            f'tensors in {path!r}.'
        )
    return weights


def _read(path: str, key: str) -> dict:
    if is_transformers_file(path):
        return read_transformers_folder(osp.dirname(path))
    if path.endswith('.safetensors'):
        from safetensors.torch import load_file

        return load_file(path)
    with loading(f'`{key}`', path) as weights_only:
        return torch.load(path, map_location='cpu', weights_only=weights_only)


def _download(url: str, key: str) -> dict:

    def load():
        with loading(f'`{key}`', url) as weights_only:
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
            f'Invalid `{key}`: expected weights that can be downloaded, got {url} '
            f'({error}). Download the file on another machine and give its path '
            f'instead, or put it at {hub_path(url)}.'
        ) from error
    return checkpoint


def hub_path(url: str) -> str:
    """Return the path at which PyTorch stores a downloaded file.

    Args:
        url (str): The URL of the file.
    """
    return osp.join(torch.hub.get_dir(), 'checkpoints', osp.basename(url))


def load_weights(
    model: nn.Module, path: str, key: str, new_head: bool = False
) -> Optional[Tuple[str, ...]]:
    """Load every key of a checkpoint file into a network.

    Args:
        model (nn.Module): The network; it is marked as initialized, so that
            ``init_weights`` does not change it.
        path (str): See :func:`read_state_dict`.
        key (str): The config key of the path, for error messages.
        new_head (bool): Whether the head is initialized instead of loaded.
            Defaults to False.

    Returns:
        Tuple[str], optional: The names of the classes that the head was
        trained on; None if the file does not have them or the head is new.

    Raises:
        ValueError: If the file lacks a parameter, has a key that is unknown to
            the network, or shapes differ; the message lists them. Also if
            ``new_head`` is True and the network has no ``head``.
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
    require_fit(model, weights, f'`{key}`', path, may_lack=head if new_head else ())
    for module in model.modules():
        if hasattr(module, 'init_weights'):
            module._is_init = True
    return classes


def load_pretraining(model: nn.Module, path: str, key: str) -> None:
    """Load the checkpoint of an earlier run into a model that may have more
    parts, such as connectors beside the pretrained ones.

    Other parameters that the file lacks are listed in a warning.

    Args:
        model (nn.Module): The model.
        path (str): See :func:`read_state_dict`.
        key (str): The config key of the path, for error messages.

    Raises:
        ValueError: If the file has a key that is unknown to the model, lacks a
            parameter of a member, or shapes differ; the message lists them.
    """
    lines = require_fit(
        model, read_state_dict(path, key), f'`{key}`', path, may_lack=BESIDE_MEMBERS
    )
    for line in lines:
        warn(
            f'`{key}`: the checkpoint {path!r} does not contain the whole '
            f'model; the other parts keep their initial weights. {line}'
        )


@contextmanager
def loading_whole(model: BaseModule) -> Iterator[None]:
    """Load the checkpoint of a model's ``Pretrained`` config strictly.

    MMEngine would load the parameters that fit and only log the others. Inside
    this context it initializes the model as if it had no such config; at the
    end, :func:`load_pretraining` loads the checkpoint.

    Args:
        model (BaseModule): The whole model, config key ``model``.
    """
    cfg = model.init_cfg
    whole = is_pretrained_init(cfg) and not cfg.get('prefix')
    if not whole or model.is_init:
        yield
        return
    model.init_cfg = None
    yield
    model.init_cfg = cfg
    load_pretraining(model, cfg.get('checkpoint'), 'model.init_cfg.checkpoint')


def check_pretrained_parts(network: nn.Module, key: str) -> None:
    """Check the checkpoints named by ``init_cfg`` in the parts of a network.

    MMEngine loads the parameters that fit and only logs the others. Here the
    file has to contain every parameter of the part, except those with a fixed
    initial value: the scale and shift of normalization layers. The file may
    contain more, such as a head beside a backbone.

    Args:
        network (nn.Module): The network, before ``init_weights``.
        key (str): The config key of the network, for error messages.

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
        if is_pretrained_init(cfg):
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
                f'Invalid `{key}.prefix`: expected the beginning of keys in '
                f'{path!r}, which contains {describe_content(everything)}, got '
                f'{prefix!r}.'
            )
    own = {name.partition('.')[0] for name in part.state_dict()}
    lines = require_fit(
        part,
        weights,
        f'`{key}`',
        path,
        remedy='Give a checkpoint of this architecture, and `prefix` if the '
        'checkpoint contains a whole network.',
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
        warn(f'`{key}`: {path!r} and the network differ in part. {line}')
