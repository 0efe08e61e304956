"""Weights from a file: read safely, loaded whole or refused."""
import logging
import os.path as osp
from typing import Dict, List

import torch
from mmengine.dist import barrier, get_dist_info
from mmengine.logging import print_log
from torch import nn

from mmdckd.io.trust import loading

_SHOWN_KEYS = 8
MISSING = 'missing from the file'


def read_checkpoint(path: str, key: str) -> dict:
    """Read a checkpoint file.

    The file is read with ``weights_only=True``: it cannot run code, unless
    :func:`~mmdckd.io.trust.trust_checkpoints` was called.

    Args:
        path (str): A local path, or an ``http(s)://`` address, which is
            downloaded once (by the first process) into torch's hub folder. A
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
    else:
        path = osp.expanduser(path)
        if not osp.isfile(path):
            raise FileNotFoundError(
                f'`{key}` names the checkpoint {path!r}, and there is no '
                'such file.')
        try:
            checkpoint = _read(path, what)
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(
                f'{what} cannot be read; it is truncated, or no file of '
                f'PyTorch. PyTorch says: {error}') from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f'`{key}`: the file {path!r} is no checkpoint: it '
                         f'holds a {type(checkpoint).__name__}.')
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
    checkpoint = read_checkpoint(path, key)
    for entry in ('state_dict', 'model'):
        if isinstance(checkpoint.get(entry), dict):
            checkpoint = checkpoint[entry]
            break
    if not any(
            isinstance(value, torch.Tensor) for value in checkpoint.values()):
        raise ValueError(
            f'`{key}`: the file {path!r} holds no state dict; expected a '
            'mapping from parameter names to tensors, at the top or under '
            '"state_dict" or "model".')
    if all(name.startswith('module.') for name in checkpoint):
        checkpoint = {name[7:]: v for name, v in checkpoint.items()}
    return checkpoint


def _read(path: str, what: str) -> dict:
    if path.endswith('.safetensors'):
        from safetensors.torch import load_file
        return load_file(path)
    with loading(what, path) as weights_only:
        return torch.load(path, map_location='cpu', weights_only=weights_only)


def _download(url: str, key: str) -> dict:

    def load():
        with loading(f'`{key}`: the file at {url}', url) as weights_only:
            return torch.hub.load_state_dict_from_url(
                url, map_location='cpu', weights_only=weights_only)

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
            'Download the file elsewhere and give its path instead.'
        ) from error
    return checkpoint


def load_weights(model: nn.Module, path: str, key: str) -> None:
    """Load a checkpoint file into a network, every key of it.

    Args:
        model (nn.Module): The network; it is marked initialised, so that
            ``init_weights`` leaves it alone.
        path (str): See :func:`read_state_dict`.
        key (str): The config key that gave the path, for the messages.

    Raises:
        ValueError: If a parameter is missing from the file, if the file has a
            key that the network has not, or if shapes differ. The message
            lists them.
    """
    faults = fit_state_dict(model, read_state_dict(path, key))
    if faults:
        lines = [f'`{key}`: the checkpoint {path!r} does not fit the network.']
        lines += describe_faults(faults)
        lines.append('Give the checkpoint of this very architecture and '
                     'number of classes.')
        raise ValueError('\n  '.join(lines))
    for module in model.modules():
        if hasattr(module, 'init_weights'):
            module._is_init = True


def load_pretraining(model: nn.Module, path: str, key: str) -> None:
    """Load the checkpoint of an earlier run into a model that may have more.

    Pretrained connectors, for instance, are followed by a run that has others
    beside them.

    Args:
        model (nn.Module): The model.
        path (str): See :func:`read_state_dict`.
        key (str): The config key that gave the path, for the messages.

    Raises:
        ValueError: If the file has a key that the model has not, or if shapes
            differ; the message lists them. What the file lacks is a warning.
    """
    faults = fit_state_dict(model, read_state_dict(path, key))
    if faults.keys() - {MISSING}:
        lines = [f'`{key}`: the checkpoint {path!r} does not fit the model.']
        lines += describe_faults(faults)
        lines.append(
            'A run of MMRazor keeps one student, as `architecture.*`, and a '
            'cohort keeps `architecture.students.<name>.*` and '
            '`distiller.student_distillers.<name>.*`: make the pretraining '
            'with the cohort, too.')
        raise ValueError('\n  '.join(lines))
    for line in describe_faults(faults):
        print_log(
            f'`{key}`: the checkpoint {path!r} does not have all of the '
            f'model; the rest starts anew. {line}',
            logger='current',
            level=logging.WARNING)


def fit_state_dict(
        model: nn.Module,
        state_dict: Dict[str, torch.Tensor]) -> Dict[str, List[str]]:
    """Load a state dict, and tell what of it or of the network is left over.

    Neither strict nor by comparing keys and shapes: the network's own hooks
    may resize a position embedding, or leave out a table that it derives. A
    parameter that has not been written to is missing, even if the hooks do
    not say so, as those of LoRA do not say what lies under it.

    Args:
        model (nn.Module): The network.
        state_dict (Dict[str, Tensor]): The weights.

    Returns:
        Dict[str, List[str]]: Kind of fault to what does not fit; empty where
        every weight is loaded. See :func:`describe_faults`.
    """
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    before = {k: (id(v), v._version) for k, v in model.named_parameters()}
    try:
        result = model.load_state_dict(state_dict, strict=False)
    except RuntimeError as error:
        mismatched = [
            f'{k}: {tuple(v.shape)} in the file, {shapes[k]} in the network'
            for k, v in state_dict.items()
            if k in shapes and tuple(v.shape) != shapes[k]
        ]
        return {'shapes differ': mismatched or [str(error)]}
    untouched = [
        k for k, v in model.named_parameters()
        if before.get(k) == (id(v), v._version)
    ]
    missing = dict.fromkeys(untouched + result.missing_keys)
    faults = {
        MISSING: [k for k in missing if k not in state_dict],
        'unknown to the network': result.unexpected_keys,
    }
    return {what: keys for what, keys in faults.items() if keys}


def describe_faults(faults: Dict[str, List[str]]) -> List[str]:
    """Say what :func:`fit_state_dict` has found, in a line for each kind."""
    return [
        f'{len(names)} {what}: ' + '; '.join(names[:_SHOWN_KEYS]) +
        ('; ...' if len(names) > _SHOWN_KEYS else '')
        for what, names in faults.items()
    ]
