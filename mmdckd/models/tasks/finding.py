# Copyright (c) mmdckd contributors. All rights reserved.
"""Which task networks are for."""

from difflib import get_close_matches
from typing import Dict, Optional

from torch import nn

from .classification import Classification
from .multi_label import MultiLabel

#: Where another task is added.
TASKS = {task.name: task for task in (Classification(), MultiLabel())}


def build_task(name: str, key: str = 'task') -> Classification:
    """The task of a name.

    Args:
        name (str): ``'classification'`` or ``'multi_label'``.
        key (str): The config key it stands under, for the message. Defaults
            to ``'task'``.

    Raises:
        ValueError: If there is no such task.
    """
    if name in TASKS:
        return TASKS[name]
    near = get_close_matches(str(name), TASKS, 1)
    raise ValueError(
        f'Invalid `{key}`: expected one of {list(TASKS)}, got '
        f'{name!r}.' + (f' Did you mean {near[0]!r}?' if near else '')
    )


def find_task(name: Optional[str], networks: Dict[str, nn.Module]) -> Classification:
    """The task of networks, by their heads where the config says nothing.

    Args:
        name (str, optional): What the config says; None for nothing.
        networks (Dict[str, nn.Module]): Config key to network; the first one
            decides.

    Returns:
        Classification: The one whose ``head_type`` the heads are of;
        ``classification`` of others.

    Raises:
        ValueError: If there is no such task, or the heads are for different
            ones and the config says nothing.
    """
    if name is not None:
        return build_task(name)
    found = {
        key: task.name
        for key, network in networks.items()
        for task in TASKS.values()
        if isinstance(getattr(network, 'head', None), task.head_type)
    }
    if len(set(found.values())) > 1:
        listed = ', '.join(
            f'`{key}.head` is a {type(networks[key].head).__name__} ({task})'
            for key, task in found.items()
        )
        raise ValueError(
            f'Invalid heads: expected all of one task, got {listed}. A member '
            'cannot learn from one that predicts something else: change a head, '
            f'or, if it is meant so, set `task` to one of {list(TASKS)}.'
        )
    return TASKS[next(iter(found.values()), Classification.name)]
