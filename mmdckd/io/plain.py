# Copyright (c) mmdckd contributors. All rights reserved.
"""Save checkpoints that contain only tensors, numbers and strings.

MMEngine saves the :class:`HistoryBuffer` of every logged scalar and NumPy
numbers, which ``torch.load(weights_only=True)`` rejects unless it is told to
trust these types. The checkpoints saved here load in any process without that.
"""

from typing import Any, Dict, List

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

#: The entry that distinguishes a history from other dicts.
_HISTORY = 'history'
_ATOMS = (
    str,
    bytes,
    int,
    float,
    bool,
    complex,
    type(None),
    torch.Tensor,
    torch.dtype,
    torch.Size,
    torch.device,
)


def make_plain(checkpoint: dict) -> List[str]:
    """Convert the metadata and message hub of a checkpoint, in place.

    NumPy numbers become numbers, NumPy arrays become tensors (those of strings,
    lists), and histories of scalars become dicts that
    :func:`restore_message_hub` reads. State dicts are not changed, as they
    already consist of tensors.

    Args:
        checkpoint (dict): The checkpoint that MMEngine's runner will save.

    Returns:
        List[str]: The keys of values that have no plain form and were not
        changed; loading the file requires trusting them.
    """
    left: List[str] = []
    for key in ('meta', 'message_hub'):
        if key in checkpoint:
            checkpoint[key] = _plain(checkpoint[key], key, left)
    return left


def _plain(value: Any, path: str, left: List[str]) -> Any:
    if isinstance(value, HistoryBuffer):
        return {
            _HISTORY: [_tensor(array) for array in value.data],
            'max_length': value.max_length,
        }
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        # Strings and objects have no tensor.
        numeric = value.dtype.kind in 'biufc'
        return _tensor(value) if numeric else _plain(value.tolist(), path, left)
    if isinstance(value, dict):
        return {key: _plain(item, f'{path}.{key}', left) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        items = [_plain(v, f'{path}.{i}', left) for i, v in enumerate(value)]
        kind = next(k for k in (list, tuple, set) if isinstance(value, k))
        return kind(items)
    if not isinstance(value, _ATOMS):
        left.append(path)
    return value


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(array))


def restore_message_hub(state: Any) -> Any:
    """Restore the message hub of a checkpoint.

    Args:
        state (dict): The ``message_hub`` of a checkpoint, written by
            :func:`make_plain` or by MMEngine.

    Returns:
        dict: The argument of
        :meth:`mmengine.logging.MessageHub.load_state_dict`, with the same
        arrays that were saved.

    Raises:
        ValueError: If a history is not a pair of one-dimensional tensors of
            equal length.
    """
    if not isinstance(state, dict) or not isinstance(state.get('log_scalars'), dict):
        return state
    scalars = {
        name: _history(value, name) for name, value in state['log_scalars'].items()
    }
    return dict(state, log_scalars=scalars)


def _history(value: Any, name: str) -> Any:
    if isinstance(value, HistoryBuffer):  # as MMEngine writes it
        parts: Dict[str, Any] = vars(value)
        arrays: List[Any] = [parts.get('_log_history'), parts.get('_count_history')]
        max_length = parts.get('max_length')
    elif isinstance(value, dict) and isinstance(value.get(_HISTORY), list):
        arrays = [
            each.cpu().numpy() if isinstance(each, torch.Tensor) else each
            for each in value[_HISTORY]
        ]
        max_length = value.get('max_length')
    else:
        return value  # MMEngine skips other values, and logs it
    if not (
        len(arrays) == 2
        and all(
            isinstance(each, np.ndarray)
            and each.ndim == 1
            and each.dtype.kind in 'biuf'
            for each in arrays
        )
        and len(arrays[0]) == len(arrays[1])
        and isinstance(max_length, int)
    ):
        raise ValueError(
            f'Invalid `message_hub.log_scalars.{name}`: expected values and '
            'counts of equal length, got others.'
        )
    history = HistoryBuffer(max_length=max_length)
    # Set directly, as the constructor would copy and truncate them.
    history._log_history, history._count_history = (np.array(each) for each in arrays)
    return history
