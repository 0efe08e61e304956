# Copyright (c) mmdckd contributors. All rights reserved.
"""Find the task of networks."""

from typing import Dict, Optional

from torch import nn

from mmdckd.errors import did_you_mean, invalid

from .classification import Classification
from .multi_label import MultiLabel

#: All tasks by name; add a new task here.
TASKS = {task.name: task for task in (Classification(), MultiLabel())}


def build_task(name: str, key: str = 'task') -> Classification:
    """Return the task with a name.

    Args:
        name (str): ``'classification'`` or ``'multi_label'``.
        key (str): The config key of the name, for error messages. Defaults to
            ``'task'``.

    Raises:
        ValueError: If there is no such task.
    """
    if name in TASKS:
        return TASKS[name]
    raise invalid(key, f'one of {list(TASKS)}', name, did_you_mean(name, TASKS))


def find_task(name: Optional[str], networks: Dict[str, nn.Module]) -> Classification:
    """Return the task of networks: the configured one, or that of their heads.

    Args:
        name (str, optional): The task in the config; None if it has none.
        networks (Dict[str, nn.Module]): Config key to network; the first one
            decides.

    Returns:
        Classification: The task whose ``head_type`` the heads are;
        ``classification`` for other heads.

    Raises:
        ValueError: If there is no such task, or the heads are for different
            tasks and the config names none.
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
            f'Invalid `head`: expected heads for the same task, got {listed}. '
            'Members learn from each other only if they solve the same task: change '
            f'a head, or set `task` to one of {list(TASKS)}.'
        )
    return TASKS[next(iter(found.values()), Classification.name)]
