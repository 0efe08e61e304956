# Copyright (c) mmdckd contributors. All rights reserved.
"""Compute collective losses on images that have their own peers."""

from typing import Dict, Optional, Sequence

import torch

from ..cohorts.batch_folds import NO_FOLD, BatchFolds, BlindPeers, Group
from ..losses.base_collective_loss import BaseCollectiveLoss

Terms = Dict[str, torch.Tensor]


def seen_losses(
    loss: BaseCollectiveLoss,
    students: torch.Tensor,
    teachers: Optional[torch.Tensor],
    peers: Optional[torch.Tensor],
    gt_labels: Optional[torch.Tensor],
    folds: BatchFolds,
) -> Terms:
    """Compute a collective loss for each student on the images that it sees.

    A loss that is a mean over images is computed for each fold and averaged, as
    the images of a fold share their peers. Any other loss is computed at once
    on all images that a student sees.

    Args:
        loss (BaseCollectiveLoss): The loss.
        students (Tensor): Logits of the N students (N, B, C); the logits of
            images that a student does not see are ignored.
        teachers (Tensor, optional): Logits of the M teachers (M, B, C).
        peers (Tensor, optional): Logits (N, B, C) of the N students in ``eval``
            mode on the images to which they are blind.
        gt_labels (Tensor, optional): (B,) or (B, C).
        folds (BatchFolds): Which images each student sees.

    Returns:
        Dict[str, Tensor]: Term to its values (N,).
    """
    totals: Terms = {}
    groups = folds.by_fold if loss.by_image else folds.by_student
    for group in groups:
        members = torch.tensor(group.students, device=students.device)
        own = _peers_of(group, peers if loss.held_out else None, folds)
        seeing = students[group.students]
        values = _on_rows(group.rows, loss, seeing, teachers, gt_labels, *own)
        for term, value in values.items():
            total = totals.get(term, torch.zeros_like(value[:1]).expand(len(students)))
            totals[term] = total.index_add(0, members, len(group.rows) * value)
    counts = torch.tensor(
        [len(folds.seen(name)) for name in folds.plan.names], device=students.device
    )
    return {term: total / counts for term, total in totals.items()}


def held_out_losses(
    loss: BaseCollectiveLoss,
    students: torch.Tensor,
    teachers: Optional[torch.Tensor],
    finished: torch.Tensor,
    gt_labels: Optional[torch.Tensor],
    groups: Sequence[BlindPeers],
) -> Terms:
    """Compute a collective loss with the finished peers that are blind to each
    image.

    Args:
        loss (BaseCollectiveLoss): The loss, a mean over images.
        students (Tensor): Logits of the N students (N, B, C).
        teachers (Tensor, optional): Logits of the M teachers (M, B, C).
        finished (Tensor): Logits of the P finished peers (P, N, B, C).
        gt_labels (Tensor, optional): (B,) or (B, C).
        groups (Sequence[BlindPeers]): Which peers are blind to each image; each
            image is in one group.

    Returns:
        Dict[str, Tensor]: Term to its values (N,).
    """
    totals: Terms = {}
    for rows, blind in groups:
        peers = finished.index_select(2, rows)
        chosen = blind[:, None, :, None].expand(-1, *peers.shape[1:])
        own = peers.gather(0, chosen)
        values = _on_rows(rows, loss, students, teachers, gt_labels, own)
        for term, value in values.items():
            share = value * (len(rows) / students.shape[1])
            totals[term] = totals.get(term, 0) + share
    return totals


def _on_rows(
    rows: torch.Tensor,
    loss: BaseCollectiveLoss,
    students: torch.Tensor,
    teachers: Optional[torch.Tensor],
    gt_labels: Optional[torch.Tensor],
    *peers: torch.Tensor,
) -> Terms:
    """Compute a loss on some images; the peers are already selected."""
    return loss(
        students.index_select(1, rows),
        None if teachers is None else teachers.index_select(1, rows),
        None if gt_labels is None else gt_labels.index_select(0, rows),
        *peers,
    )


def _peers_of(group: Group, peers: Optional[torch.Tensor], folds: BatchFolds) -> list:
    """Return the peers to learn from, if they are not the students that see the
    images."""
    if peers is None:
        return []
    peers = peers.index_select(1, group.rows)
    if group.fold == NO_FOLD:
        return [peers]  # For images without labels, every student is blind.
    blind = peers[folds.plan.blind_to(group.fold)]
    return [blind.unsqueeze(1).expand(-1, len(group.students), -1, -1)]
