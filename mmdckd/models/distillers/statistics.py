# Copyright (c) mmdckd contributors. All rights reserved.
"""Compute statistics that describe a cohort during training."""

from typing import Dict, Optional, Sequence

import torch

from mmdckd.names import COLLECTIVE, name_losses

from ..cohorts.batch_folds import BatchFolds
from ..tasks import Classification


@torch.no_grad()
def cohort_statistics(
    names: Sequence[str],
    logits: torch.Tensor,
    task: Classification,
    folds: Optional[BatchFolds] = None,
) -> Dict[str, torch.Tensor]:
    """Compute the mean entropy of each student and the agreement of students.

    The task defines both: see
    :meth:`~mmdckd.models.tasks.Classification.entropy` and
    :meth:`~mmdckd.models.tasks.Classification.agreement`.

    Args:
        names (Sequence[str]): The names of the N students.
        logits (Tensor): Their logits (N, B, C).
        task (Classification): The task.
        folds (BatchFolds, optional): The images that each student sees; the
            statistics are computed on these. Defaults to None: all.

    Returns:
        Dict[str, Tensor]: ``collective.<name>.entropy`` in nats for each
        student, and ``collective.agreement`` in [0, 1] if there are two or
        more.
    """
    statistics: Dict[str, torch.Tensor] = {}
    for name, entropy in zip(names, task.entropy(logits)):
        mean = entropy.mean() if folds is None else entropy[folds.seen(name)].mean()
        statistics.update(name_losses(COLLECTIVE, name, dict(entropy=mean)))
    agreement = _agreement(logits, task, folds)
    if agreement is not None:
        statistics.update(name_losses(COLLECTIVE, None, dict(agreement=agreement)))
    return statistics


def _agreement(
    logits: torch.Tensor, task: Classification, folds: Optional[BatchFolds]
) -> Optional[torch.Tensor]:
    if folds is None:
        return task.agreement(logits) if len(logits) > 1 else None
    groups = [group for group in folds.by_fold if len(group.students) > 1]
    if not groups:
        return None
    of_each = [
        task.agreement(logits[group.students].index_select(1, group.rows))
        for group in groups
    ]
    sizes = torch.tensor([len(group.rows) for group in groups], device=logits.device)
    return (torch.stack(of_each) * sizes).sum() / sizes.sum()
