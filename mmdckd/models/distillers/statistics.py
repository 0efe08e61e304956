"""Numbers that tell how a cohort is doing, beside its losses."""
from typing import Dict, Sequence

import torch

from mmdckd.names import COLLECTIVE, name_losses


@torch.no_grad()
def cohort_statistics(names: Sequence[str],
                      logits: torch.Tensor) -> Dict[str, torch.Tensor]:
    r"""Entropy of every student and agreement among students.

    .. math::
        H_i = -\frac{1}{B} \sum_b \sum_c p_{ibc} \log p_{ibc}, \qquad
        A = \frac{1}{B} \sum_b \frac{\sum_c n_{bc} (n_{bc} - 1)}{N (N - 1)}

    with :math:`p` the softmax of the logits and :math:`n_{bc}` the number of
    students whose top-1 of image b is class c: A is the share of pairs of
    students that agree.

    Args:
        names (Sequence[str]): The N students' names.
        logits (Tensor): Their logits (N, B, C).

    Returns:
        Dict[str, Tensor]: ``collective.<name>.entropy`` in nats for each
        student, and ``collective.agreement`` in [0, 1] where there are two or
        more.
    """
    log_probs = logits.float().log_softmax(-1)
    entropies = torch.special.entr(log_probs.exp()).sum(-1).mean(-1)
    statistics: Dict[str, torch.Tensor] = {}
    for name, entropy in zip(names, entropies):
        statistics.update(name_losses(COLLECTIVE, name, dict(entropy=entropy)))
    num_students, batch, num_classes = logits.shape
    if num_students > 1:
        votes = torch.zeros(batch, num_classes, device=logits.device)
        top = logits.argmax(-1).t()
        votes.scatter_add_(1, top, torch.ones_like(top, dtype=votes.dtype))
        pairs = num_students * (num_students - 1)
        agreement = (votes * (votes - 1)).sum(1).mean() / pairs
        statistics.update(
            name_losses(COLLECTIVE, None, dict(agreement=agreement)))
    return statistics
