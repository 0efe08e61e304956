# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Any, Callable, Iterator, List, Optional, Sequence, Tuple

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from mmdckd.models.losses import entropy

Terms = Tuple[Optional[torch.Tensor], ...]
Targets = Callable[[slice, torch.Tensor], Terms]

#: How many numbers (N, rows, C) are worked on at a time: on the CPU what stays
#: in the cache of a core, on an accelerator what fills it.
CHUNK = 2**17
ACCELERATOR_CHUNK = 2**24

#: The least log-probability: of a logit of -infinity, or as good as that.
#: Finite, so that 0 log 0 is 0, and so is any mean of such.
LEAST = -1e30


class CohortTerms(Function):
    r"""The terms of :class:`~.dckd_loss.DCKDLoss`, and their gradient.

    For student i, with :math:`P_i = softmax(z_i / \tau)` and a mean over the
    batch:

    ============ ====================== ================================
    term         value                  gradient of z_i / tau
    ============ ====================== ================================
    teacher      :math:`KL(P_t \| P_i)` :math:`P_i - P_t`
    collective   :math:`KL(C_i \| P_i)` :math:`P_i - C_i`
    correlation  :math:`H(Q_i)`         :math:`-Q_i (\log Q_i + H(Q_i))`
    ============ ====================== ================================

    :math:`Q_i \propto P_i (1 - y)`, or :math:`P_i` without ``rest``. Written
    out, and some rows of the batch at a time, because the targets of a row
    depend on that row alone: nothing but C and the sums of the softmaxes is
    kept for the backward pass, and all else is small.
    """

    @staticmethod
    def forward(
        ctx, targets: Targets, correlation: bool, tau: float, *logits: torch.Tensor
    ) -> Terms:
        """Compute the terms.

        Args:
            targets (Callable): Given rows of the batch and their log P
                (N, rows, C), makes three tensors: P_t (rows, C), or
                (N, rows, C) where it differs, or None to leave the term out;
                C (N, rows, C), or None to leave the term out; and
                log(1 - y) (rows, C), finite, or None.
            correlation (bool): False leaves the term out.
            tau (float): Temperature.
            *logits (Tensor): z, N times (B, C).

        Returns:
            Tuple[Tensor or None, ...]: The three terms, each (N,), or None
            where left out.
        """
        sums: List[Optional[torch.Tensor]] = []
        saved: List[Optional[torch.Tensor]] = []
        for rows in _chunks(logits):
            scaled = _scale([z[rows] for z in logits], tau)
            log_probs = scaled.log_softmax(-1).clamp_min_(LEAST)
            # log P = (z / tau - most) - norm, to the bit: of the largest
            # logit it is -norm.
            most = scaled.amax(-1, keepdim=True)
            norm = -log_probs.amax(-1, keepdim=True)
            teacher, collective, rest = targets(rows, log_probs)
            terms = [
                None if target is None else _divergence(target, log_probs)
                for target in (teacher, collective)
            ]
            own = entropy(_of_rest(log_probs, rest)) if correlation else None
            terms.append(None if own is None else own.sum(-1))
            sums = [
                term if before is None or term is None else before + term
                for before, term in zip(sums or [None] * 3, terms)
            ]
            saved += most, norm, teacher, collective, rest
        ctx.save_for_backward(*logits, *saved)
        ctx.num_students = len(logits)
        ctx.correlation = correlation
        ctx.tau = tau
        return tuple(None if term is None else term / len(logits[0]) for term in sums)

    @staticmethod
    @once_differentiable
    def backward(ctx, *weights: Optional[torch.Tensor]) -> Terms:
        """Compute the gradient with respect to each student's logits."""
        logits = ctx.saved_tensors[: ctx.num_students]
        saved = iter(ctx.saved_tensors[ctx.num_students :])
        scale = 1 / (ctx.tau * len(logits[0]))
        factors = [None if w is None else (w * scale).view(-1, 1, 1) for w in weights]
        grads = logits[0].new_empty(len(logits), *logits[0].shape)
        for rows, most, norm, teacher, collective, rest in zip(
            _chunks(logits), *[saved] * 5
        ):
            scaled = _scale([z[rows] for z in logits], ctx.tau)
            log_p = scaled.sub_(most).sub_(norm).clamp_min_(LEAST)
            _grad(
                log_p,
                teacher,
                collective,
                rest,
                ctx.correlation,
                factors,
                grads[:, rows],
            )
        return (None,) * 3 + grads.unbind()


def soften(logits: Sequence[torch.Tensor], tau: float) -> torch.Tensor:
    r"""Compute :math:`\log softmax(z / \tau)` of several members.

    Args:
        logits (Sequence[Tensor]): z, each of one shape (..., C).
        tau (float): Temperature.

    Returns:
        Tensor: Stacked, in float32, or float64 of float64; at least
        :data:`LEAST`. NaN where a logit of the row is NaN or infinity, or
        all are -infinity.
    """
    return _scale(logits, tau).log_softmax(-1).clamp_min_(LEAST)


def _scale(logits: Sequence[torch.Tensor], tau: float) -> torch.Tensor:
    stacked = torch.stack(
        [z if z.dtype == torch.float64 else z.float() for z in logits]
    )
    if tau < 1:  # nothing may become infinite
        stacked.sub_(stacked.amax(-1, keepdim=True))
    return stacked.div_(tau)


def _chunks(logits: Tuple[torch.Tensor, ...]) -> Iterator[slice]:
    batch_size, num_classes = logits[0].shape
    numbers = CHUNK if logits[0].is_cpu else ACCELERATOR_CHUNK
    rows = max(1, numbers // (len(logits) * num_classes))
    for start in range(0, batch_size, rows):
        yield slice(start, start + rows)


def _divergence(target: torch.Tensor, log_probs: torch.Tensor) -> torch.Tensor:
    """KL, summed over rows (N,); 0 log 0 is 0."""
    tiny = torch.finfo(target.dtype).tiny
    log_target = target.clamp_min(tiny).log_()
    # In place where each student has a target of its own.
    differences = log_target.expand_as(log_probs)
    if log_target.shape == log_probs.shape:
        differences.sub_(log_probs)
    else:
        differences = differences - log_probs
    return differences.mul_(target).sum((1, 2))


def _grad(
    log_p: torch.Tensor,
    teacher: Optional[torch.Tensor],
    collective: Optional[torch.Tensor],
    rest: Optional[torch.Tensor],
    correlation: bool,
    weights: Sequence[Any],
    out: torch.Tensor,
) -> None:
    p = log_p.exp()
    targets = [
        (target.expand_as(p), w)
        for target, w in zip((teacher, collective), weights)
        if target is not None
    ]
    total = sum(w for _, w in targets)
    if correlation and rest is None:
        # p (w_t + w_c) - w_h p (log p + h), in one go.
        h = (p * log_p).sum(-1, keepdim=True)
        grad = log_p.sub_(h).mul_(-weights[2]).add_(total).mul_(p)
    else:
        grad = p * total
        if correlation:
            log_q = _of_rest(log_p, rest)
            h = entropy(log_q).unsqueeze(-1)
            grad -= log_q.exp().mul_(log_q.add_(h)).mul_(weights[2])
    for target, w in targets:
        grad.addcmul_(target, w, value=-1)
    out.copy_(grad)


def _of_rest(log_probs: torch.Tensor, rest: Optional[torch.Tensor]) -> torch.Tensor:
    return log_probs if rest is None else (log_probs + rest).log_softmax(-1)
