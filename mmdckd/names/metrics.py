# Copyright (c) mmdckd contributors. All rights reserved.
"""Name the metrics of members and the stages of a run."""

from typing import Optional, Tuple

from .members import MODEL, STAGES


def metric_name(member: str, metric: str) -> str:
    """Return the name of a member's metric; for :data:`MODEL`, the metric
    itself."""
    return metric if member == MODEL else f'{member}/{metric}'


def split_metric(key: str) -> Optional[Tuple[str, str]]:
    """Parse the name of a metric in the validation of a cohort.

    Args:
        key (str): The name, with or without the prefix of a stage.

    Returns:
        Tuple[str, str], optional: The member and the metric; None if the name
        has no member.
    """
    member, slash, metric = without_stage(key).partition('/')
    return (member, metric) if slash else None


def member_of(key: str, metric: str) -> Optional[str]:
    """Return the member to which a value of a metric belongs.

    Args:
        key (str): The name of a value of any run.
        metric (str): The name of the metric.

    Returns:
        str, optional: The member; :data:`MODEL` if the name has no member; None
        if the value belongs to another metric.
    """
    if without_stage(key) == metric:
        return MODEL
    split = split_metric(key)
    return split[0] if split and split[1] == metric else None


def metric_of(key: str, member: str) -> Optional[str]:
    """Return the metric to which a value of a member belongs.

    Args:
        key (str): The name of a value of a cohort's validation.
        member (str): The name of the member.

    Returns:
        str, optional: The metric; None if it belongs to another member.
    """
    split = split_metric(key)
    return split[1] if split and split[0] == member else None


def without_stage(key: str) -> str:
    """Remove the prefix ``train/``, ``val/`` or ``test/`` from a name."""
    stage, slash, rest = key.partition('/')
    return rest if slash and stage in STAGES else key


def with_stage(stage: str, name: str) -> str:
    """Add the prefix of a stage to a name, as in the message hub."""
    return f'{stage}/{name}'


def stage_of(key: str) -> Optional[str]:
    """Return the stage, of :data:`STAGES`, that a name has as a prefix, or None."""
    stage, slash, _ = key.partition('/')
    return stage if slash and stage in STAGES else None
