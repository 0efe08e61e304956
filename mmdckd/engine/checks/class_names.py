# Copyright (c) mmdckd contributors. All rights reserved.
import copy
from typing import Any, Dict, List, Optional, Sequence, Tuple

from mmengine.config import Config
from mmpretrain.registry import DATASETS
from torch import nn

#: Class names by their origin; None where they are unknown.
Names = Dict[str, Optional[Sequence[str]]]

_SHOWN = 8


def check_class_names(names: Names) -> List[str]:
    """Check that a label means the same class everywhere.

    Args:
        names (Dict[str, Sequence[str] | None]): The class names in the order of
            the labels, or None if they are unknown, by their origin as a
            message should call it. All are compared with the first known ones.

    Returns:
        List[str]: The origins whose names are unknown and were not compared.

    Raises:
        ValueError: If two differ. The message names the classes.
    """
    known = {where: list(own) for where, own in names.items() if own}
    reference = next(iter(known), None)
    for where, own in known.items():
        assert reference is not None
        if own != known[reference]:
            raise ValueError(_difference(reference, known[reference], where, own))
    return [where for where, own in names.items() if not own]


def _difference(first: str, ours: List[str], second: str, theirs: List[str]) -> str:
    what = second.removeprefix('the ')
    parts = [f'Invalid {what}: expected the classes of {first}, got others:']
    for where, own, other in ((first, ours, theirs), (second, theirs, ours)):
        only = [name for name in own if name not in set(other)]
        if only:
            parts.append(f'only {where} has {_listed(only)};')
    pairs = [(label, a, b) for label, (a, b) in enumerate(zip(ours, theirs)) if a != b]
    if pairs:
        label, a, b = pairs[0]
        parts.append(f'label {label} is {a!r} in {first} and {b!r} in {second}.')
    else:
        parts.append(f'{first} has {len(ours)} and {second} {len(theirs)}.')
    remedy = (
        'Give every split one folder per class, an empty one if it has no '
        'image, and use a checkpoint that was trained on these classes'
    )
    if not set(ours) & set(theirs):
        remedy += (
            '. If these are different names for the same classes in the same order, '
            'set `default_hooks.check_labels.allow_other_names=True`'
        )
    return ' '.join(parts) + f' {remedy}.'


def _listed(names: List[str]) -> str:
    return ', '.join(map(repr, names[:_SHOWN])) + (', ...' if names[_SHOWN:] else '')


def names_of_dataset(dataset: Any) -> Optional[Tuple[str, ...]]:
    """Return the class names of a dataset or of a wrapper of datasets."""
    names = (getattr(dataset, 'metainfo', None) or {}).get('classes')
    return tuple(map(str, names)) if names else None


def names_of_test_split(cfg: Config) -> Names:
    """Return the class names of the test split of a training run.

    Args:
        cfg (Config): The config of the run.

    Returns:
        Names: One entry; empty if there is no test split or it is the
        validation split. The names of a dataset that cannot be built, because
        its images are elsewhere, are unknown.
    """
    test, val = (
        ((cfg.get(f'{split}_dataloader') or {}).get('dataset'))
        for split in ('test', 'val')
    )
    if not isinstance(test, dict) or test == val:
        return {}
    where = '`test_dataloader.dataset`'
    try:
        dataset = DATASETS.build(copy.deepcopy(test))
    except Exception as error:
        # Training does not need it, and testing reports the error.
        return {f'{where} ({type(error).__name__}: {error})': None}
    return {where: names_of_dataset(dataset)}


def names_of_members(model: nn.Module) -> Names:
    """Return the class names that members of a cohort were trained on before.

    Args:
        model (nn.Module): The model of a run; one without a cohort has none.

    Returns:
        Names: One entry for each member that loaded a pretrained head.
    """
    names: Names = {}
    teachers = getattr(model, 'teachers', None) or ()
    for name, teacher in zip(getattr(model, 'teacher_names', ()), teachers):
        if getattr(teacher.model, 'has_pretrained_head', True):
            names[f'the checkpoint of {name!r}'] = getattr(
                teacher.model, 'pretrained_classes', None
            )
    peers = getattr(model, 'finished_peers', None)
    for name, peer in peers.networks.items() if peers else ():
        names[f'the checkpoint of {name!r}'] = peer.model.pretrained_classes
    cohort = getattr(model, 'cohort', None)
    for name, student in cohort.items() if cohort else ():
        if student.has_pretrained_head:
            names[f'the checkpoint of {name!r}'] = student.pretrained_classes
    return names
