# Copyright (c) mmdckd contributors. All rights reserved.
"""Metrics of members, and stages."""

from typing import Optional, Tuple

from .members import MODEL, STAGES


def metric_name(member: str, metric: str) -> str:
    """The name of a member's metric; of :data:`MODEL` the metric itself."""
    return metric if member == MODEL else f'{member}/{metric}'


def split_metric(key: str) -> Optional[Tuple[str, str]]:
    """Take the name of a metric in the validation of a cohort apart.

    Args:
        key (str): Its name, with or without the stage in front.

    Returns:
        Tuple[str, str], optional: The member, and the metric; None if it has
        no member.
    """
    member, slash, metric = without_stage(key).partition('/')
    return (member, metric) if slash else None


def member_of(key: str, metric: str) -> Optional[str]:
    """Whose metric it is.

    Args:
        key (str): The name of a value of any run, a cohort's or not.
        metric (str): The name of the metric.

    Returns:
        str, optional: The member, :data:`MODEL` if the metric has none in
        front; None if it is another metric.
    """
    if without_stage(key) == metric:
        return MODEL
    split = split_metric(key)
    return split[0] if split and split[1] == metric else None


def metric_of(key: str, member: str) -> Optional[str]:
    """Which metric of a member it is; None if it is none of this member.

    Args:
        key (str): The name of a value of a cohort's validation.
        member (str): The name of the member.
    """
    split = split_metric(key)
    return split[1] if split and split[0] == member else None


def without_stage(key: str) -> str:
    """A name without ``train/``, ``val/`` or ``test/`` in front."""
    stage, slash, rest = key.partition('/')
    return rest if slash and stage in STAGES else key


def with_stage(stage: str, name: str) -> str:
    """A name as the message hub has it, with its stage in front."""
    return f'{stage}/{name}'


def stage_of(key: str) -> Optional[str]:
    """The stage in front of a name, of :data:`STAGES`; None without one."""
    stage, slash, _ = key.partition('/')
    return stage if slash and stage in STAGES else None
