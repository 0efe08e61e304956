# Copyright (c) mmdckd contributors. All rights reserved.
"""Check that the weights in a file are those of a network."""

from typing import Any, Collection, Dict, List, Optional, Tuple

import torch
from torch import nn

from mmdckd import names

MISSING = 'missing from the file'
UNKNOWN = 'unknown to the network'
MISMATCHED = 'shapes differ'
_SHOWN_KEYS = 8

#: Where MMRazor keeps its one student.
_RAZOR_PREFIX = 'architecture.'

StateDict = Dict[str, torch.Tensor]


def require_fit(
    model: nn.Module,
    state_dict: StateDict,
    source: str,
    path: str,
    remedy: str = '',
    may_lack: Collection[str] = (),
    may_exceed: Collection[str] = (),
) -> List[str]:
    """Load weights into a network: all of them, or raise an error.

    All weights from files pass through this function: ``load_from``,
    ``--resume``, ``tools/test.py``, the export, ``init_cfg``, ``teacher_ckpt``
    and ``pretrained``.

    Args:
        model (nn.Module): The network.
        state_dict (Dict[str, Tensor]): The weights.
        source (str): What names the weights, for the error message, such as
            ``'`load_from`'``.
        path (str): The path of the weights, for the error message.
        remedy (str): How to fix it. Defaults to '', which means the text of
            :func:`remedy_for`.
        may_lack (Collection[str]): Prefixes of keys that the file may lack.
            Defaults to ().
        may_exceed (Collection[str]): Prefixes of keys that may be unknown to
            the network. Defaults to ().

    Returns:
        List[str]: A line for the accepted missing keys, and one for the
        accepted unknown keys.

    Raises:
        ValueError: If another key is missing or unknown, or a shape differs.
            The message lists the keys and says what the file contains and how
            to fix it.
    """
    other = _describe_other(state_dict)
    if other:
        raise ValueError(
            f'Invalid {source}: expected weights, a dict from parameter names to '
            f'tensors, got {other} in {path!r}.'
        )
    faults = fit_state_dict(model, state_dict)
    accepted: Dict[str, List[str]] = {}
    for kind, prefixes in ((MISSING, may_lack), (UNKNOWN, may_exceed)):
        keys = faults.pop(kind, [])
        chosen = [key for key in keys if key.startswith(tuple(prefixes))]
        if chosen:
            accepted[kind] = chosen
        if len(chosen) < len(keys):
            faults[kind] = [key for key in keys if key not in chosen]
    if faults:
        lines = [
            f'Invalid {source}: expected the weights of '
            f'{describe_content(model.state_dict())}, as the config describes, got '
            f'those of {describe_content(state_dict)} in {path!r}.',
            *describe_faults(faults),
            remedy or remedy_for(model.state_dict(), state_dict),
        ]
        raise ValueError('\n  '.join(lines))
    return describe_faults(accepted)


def fit_state_dict(model: nn.Module, state_dict: StateDict) -> Dict[str, List[str]]:
    """Load a state dict, and list the keys that did not fit.

    Neither ``strict=True`` nor a comparison of keys and shapes would do, as
    hooks of the network may resize a position embedding or omit a derived
    table. A parameter that was not written to counts as missing even if hooks
    hide it, as those of LoRA do.

    Args:
        model (nn.Module): The network.
        state_dict (Dict[str, Tensor]): The weights.

    Returns:
        Dict[str, List[str]]: Kind of fault to keys; empty if every weight was
        loaded. See :func:`describe_faults`.
    """
    shapes = {k: _shape(v) for k, v in model.state_dict().items()}
    before = {k: (id(v), v._version) for k, v in model.named_parameters()}
    faults: Dict[str, List[str]] = {}
    mismatched = []
    try:
        result = model.load_state_dict(state_dict, strict=False)
        missing, unknown = result.missing_keys, result.unexpected_keys
    except RuntimeError as error:
        mismatched = [
            f'{k}: {_shape(v)} in the file, {shapes[k]} in the network'
            for k, v in state_dict.items()
            if k in shapes and _shape(v) != shapes[k]
        ]
        faults[MISMATCHED] = mismatched or [str(error)]
        missing = [k for k in shapes if k not in state_dict]
        unknown = [k for k in state_dict if k not in shapes]
    untouched = [
        k for k, v in model.named_parameters() if before.get(k) == (id(v), v._version)
    ]
    if not faults:
        missing = list(dict.fromkeys(untouched + missing))
    faults[MISSING] = [k for k in missing if k not in state_dict]
    faults[UNKNOWN] = list(unknown)
    return {what: keys for what, keys in faults.items() if keys}


def _shape(value: Any) -> Tuple[int, ...]:
    # What modules keep under `_extra_state` may not be a tensor.
    return tuple(getattr(value, 'shape', ()))


def describe_faults(faults: Dict[str, List[str]]) -> List[str]:
    """Describe the faults found by :func:`fit_state_dict`, one line a kind."""
    return [
        f'{len(keys)} {what}: '
        + '; '.join(keys[:_SHOWN_KEYS])
        + ('; ...' if len(keys) > _SHOWN_KEYS else '')
        for what, keys in faults.items()
    ]


def students_in(state_dict: StateDict) -> List[str]:
    """Return the names of the students in a cohort's weights; empty for other
    weights."""
    found = map(names.split_parameter, state_dict)
    return list(dict.fromkeys(split[0] for split in found if split))


def describe_content(state_dict: StateDict) -> str:
    """Describe in a few words what kind of network weights belong to."""
    students = students_in(state_dict)
    if students:
        return f'a cohort of {len(students)} ({", ".join(students[:_SHOWN_KEYS])})'
    if any(key.startswith(_RAZOR_PREFIX) for key in state_dict):
        return 'the single student of an MMRazor run (`architecture.*`)'
    parts = list(dict.fromkeys(key.partition('.')[0] for key in state_dict))
    listed = ', '.join(parts[:4]) + (', ...' if parts[4:] else '')
    classes = _num_classes(state_dict)
    return f'a network ({listed}' + (f'; {classes} classes)' if classes else ')')


def remedy_for(expected: StateDict, found: StateDict) -> str:
    """Explain how to fix weights that do not fit a network.

    Args:
        expected (Dict[str, Tensor]): The state dict of the network.
        found (Dict[str, Tensor]): The weights.
    """
    wanted, there = students_in(expected), students_in(found)
    if wanted and not there:
        if any(key.startswith(_RAZOR_PREFIX) for key in found):
            return (
                'MMRazor saves one student as `architecture.*`, a cohort saves '
                '`architecture.students.<name>.*` and '
                '`distiller.student_distillers.<name>.*`: run the pretraining '
                'with the cohort, too.'
            )
        return (
            'To start each student from it, set '
            '`model.architecture.pretrained` (in a mixed cohort, '
            '`model.students.<name>.pretrained`) to its path; if the classes '
            'differ, also set `new_head=True`.'
        )
    if there and not wanted:
        return (
            'tools/export_student.py makes a plain checkpoint of one of '
            f'its students: --student {there[0]}.'
        )
    if wanted != there:
        if there == names.student_names(len(there)):
            return (
                f'Give --cfg-options model.num_students={len(there)}, or '
                f'a checkpoint of {len(wanted)} students.'
            )
        return (
            f'Give a config whose `model.students` are {there}, or a '
            f'checkpoint of {wanted}.'
        )
    if _num_classes(expected) != _num_classes(found):
        return (
            'Give a checkpoint of this architecture and number of classes. To '
            'start students from this one with a new head, set '
            '`model.architecture.pretrained` to its path and `new_head=True`; for '
            'a network that is trained alone, set '
            "`model.backbone.init_cfg=dict(type='Pretrained', "
            "checkpoint=..., prefix='backbone')`."
        )
    return 'Give a checkpoint of this architecture and number of classes.'


def _describe_other(content: Any) -> str:
    """Describe what prevents a file's content from being a state dict; '' if
    nothing does."""
    if not isinstance(content, dict):
        return f'a {type(content).__name__}'
    for key, value in content.items():
        # PyTorch lets modules keep anything under `_extra_state`.
        if not isinstance(value, torch.Tensor) and not str(key).endswith(
            '_extra_state'
        ):
            return f'a {type(value).__name__} under {key!r}'
    return ''


def class_names_in(checkpoint: Any) -> Optional[Tuple[str, ...]]:
    """Return the names of the classes that a checkpoint was trained on.

    Args:
        checkpoint (Any): The content of a file.

    Returns:
        Tuple[str], optional: ``meta.dataset_meta.classes``; None if the file
        does not have them.
    """
    meta = checkpoint.get('meta') if isinstance(checkpoint, dict) else None
    meta = meta.get('dataset_meta') if isinstance(meta, dict) else None
    classes = meta.get('classes') if isinstance(meta, dict) else None
    if not isinstance(classes, (list, tuple)):
        return None
    return tuple(map(str, classes))


def state_dict_in(checkpoint: Dict[str, Any]) -> StateDict:
    """Return the weights in a checkpoint, without the prefix of a wrapper.

    Args:
        checkpoint (dict): The content of a file.

    Returns:
        Dict[str, Tensor]: The content of ``state_dict``, ``model``, or the
        checkpoint itself. A ``module.`` prefix that all keys share is removed.
    """
    if not isinstance(checkpoint, dict):
        return checkpoint
    for entry in ('state_dict', 'model'):
        if isinstance(checkpoint.get(entry), dict):
            checkpoint = checkpoint[entry]
            break
    if checkpoint and all(str(name).startswith('module.') for name in checkpoint):
        checkpoint = {name[7:]: v for name, v in checkpoint.items()}
    return checkpoint


def _num_classes(state_dict: StateDict) -> Optional[int]:
    """Return the number of rows of the last matrix in a head, if there is one."""
    matrices = [
        value
        for key, value in state_dict.items()
        if 'head.' in key and getattr(value, 'ndim', 0) == 2
    ]
    return len(matrices[-1]) if matrices else None
