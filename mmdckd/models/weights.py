"""Weights from a file: read safely, loaded whole or refused."""
import os.path as osp
from typing import Dict, List

import torch
from mmengine.dist import barrier, get_dist_info
from torch import nn

_SHOWN_KEYS = 8


def read_checkpoint(path: str, key: str) -> dict:
    """Read a checkpoint file.

    The file is read with ``weights_only=True``: it cannot run code.

    Args:
        path (str): A local path, or an ``http(s)://`` address, which is
            downloaded once (by the first process) into torch's hub folder.
        key (str): What gave the path, for the messages.

    Returns:
        dict: The file's content, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file cannot be read or holds no dict.
    """
    if path.startswith(('http://', 'https://')):
        checkpoint = _download(path, key)
    else:
        path = osp.expanduser(path)
        if not osp.isfile(path):
            raise FileNotFoundError(
                f'`{key}` names the checkpoint {path!r}, and there is no '
                'such file.')
        try:
            checkpoint = torch.load(
                path, map_location='cpu', weights_only=True)
        except Exception as error:
            raise ValueError(
                f'`{key}`: the checkpoint {path!r} cannot be read; it is '
                'truncated, not a PyTorch file, or needs code to be run to '
                f'load it. PyTorch says: {error}') from error
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


def _download(url: str, key: str) -> dict:

    def load():
        return torch.hub.load_state_dict_from_url(
            url, map_location='cpu', weights_only=True)

    rank, world_size = get_dist_info()
    try:
        if rank == 0:
            checkpoint = load()
        if world_size > 1:
            barrier()
            if rank > 0:
                checkpoint = load()
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
    state_dict = read_state_dict(path, key)
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    mismatched = [
        f'{k}: {tuple(state_dict[k].shape)} in the file, {shape} in the '
        'network' for k, shape in shapes.items() if k in state_dict
        and hasattr(state_dict[k], 'shape')
        and tuple(state_dict[k].shape) != shape
    ]
    if mismatched:
        raise ValueError(_explain(path, key, [('shapes differ', mismatched)]))
    # Not strict here, so that the network's own key filters have run before
    # the keys are judged.
    result = model.load_state_dict(state_dict, strict=False)
    if result.missing_keys or result.unexpected_keys:
        raise ValueError(
            _explain(path, key, [
                ('missing from the file', result.missing_keys),
                ('unknown to the network', result.unexpected_keys),
            ]))
    for module in model.modules():
        if hasattr(module, 'init_weights'):
            module._is_init = True


def _explain(path: str, key: str, faults: List[tuple]) -> str:
    lines = [f'`{key}`: the checkpoint {path!r} does not fit the network.']
    for what, names in faults:
        if names:
            lines.append(f'{len(names)} {what}: ' +
                         '; '.join(names[:_SHOWN_KEYS]) +
                         ('; ...' if len(names) > _SHOWN_KEYS else ''))
    lines.append('Give the checkpoint of this very architecture and number '
                 'of classes.')
    return '\n  '.join(lines)
