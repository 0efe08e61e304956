# Copyright (c) mmdckd contributors. All rights reserved.
"""Numbers that tell how a cohort is doing, beside its losses."""

from typing import Dict, Sequence

import torch

from mmdckd.names import COLLECTIVE, name_losses

from ..tasks import Classification


@torch.no_grad()
def cohort_statistics(
    names: Sequence[str], logits: torch.Tensor, task: Classification
) -> Dict[str, torch.Tensor]:
    """Entropy of every student, the mean over the batch, and agreement among
    students, as the task defines them: see
    :meth:`~mmdckd.models.tasks.Classification.entropy` and
    :meth:`~mmdckd.models.tasks.Classification.agreement`.

    Args:
        names (Sequence[str]): The N students' names.
        logits (Tensor): Their logits (N, B, C).
        task (Classification): The task.

    Returns:
        Dict[str, Tensor]: ``collective.<name>.entropy`` in nats for each
        student, and ``collective.agreement`` in [0, 1] where there are two or
        more.
    """
    statistics: Dict[str, torch.Tensor] = {}
    for name, entropy in zip(names, task.entropy(logits).mean(-1)):
        statistics.update(name_losses(COLLECTIVE, name, dict(entropy=entropy)))
    if len(logits) > 1:
        statistics.update(
            name_losses(COLLECTIVE, None, dict(agreement=task.agreement(logits)))
        )
    return statistics
