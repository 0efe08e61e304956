# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Optional, Tuple

import torch
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from .entropy import entropy

Terms = Tuple[Optional[torch.Tensor], ...]


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
    out because the backward pass then needs log P and C alone, and goes over
    them once, a student at a time; autograd's own would keep twice that and
    go over it once a term.
    """

    @staticmethod
    def forward(ctx, log_probs: torch.Tensor, teacher: Optional[torch.Tensor],
                collective: Optional[torch.Tensor], correlation: bool,
                rest: Optional[torch.Tensor], tau: float, *logits) -> Terms:
        """Compute the terms.

        Args:
            log_probs (Tensor): log P (N, B, C), finite.
            teacher (Tensor, optional): P_t (B, C), or (N, B, C) where it
                differs. None leaves the term out.
            collective (Tensor, optional): C (N, B, C). None leaves the term
                out.
            correlation (bool): False leaves the term out.
            rest (Tensor, optional): log(1 - y) (B, C), finite.
            tau (float): Temperature.
            *logits (Tensor): z, N times (B, C): where the gradient goes.

        Returns:
            Tuple[Tensor or None, ...]: The three terms, each (N,), or None
            where left out.
        """
        ctx.save_for_backward(log_probs, teacher, collective, rest)
        ctx.correlation = correlation
        ctx.tau = tau
        terms = [None, None, None]
        if teacher is not None:
            targets = zip(
                teacher.expand_as(log_probs),
                _log(teacher).expand_as(log_probs), log_probs)
            terms[0] = [(t * (log_t - log_p)).sum()
                        for t, log_t, log_p in targets]
        if collective is not None:
            terms[1] = [(c * (_log(c) - log_p)).sum()
                        for c, log_p in zip(collective, log_probs)]
        if correlation:
            terms[2] = [
                entropy(_of_rest(log_p, rest)).sum() for log_p in log_probs
            ]
        return tuple(
            term and torch.stack(term) / len(logits[0]) for term in terms)

    @staticmethod
    @once_differentiable
    def backward(ctx, *weights: Optional[torch.Tensor]) -> Terms:
        """Compute the gradient with respect to each student's logits."""
        log_probs, teacher, collective, rest = ctx.saved_tensors
        if teacher is not None:
            teacher = teacher.expand_as(log_probs)
        scale = 1 / (ctx.tau * log_probs.shape[1])
        grads = []
        for i, log_p in enumerate(log_probs):
            p = log_p.exp()
            grad = torch.zeros_like(p)
            if teacher is not None:
                grad += (p - teacher[i]) * (scale * weights[0][i])
            if collective is not None:
                grad += (p - collective[i]) * (scale * weights[1][i])
            if ctx.correlation:
                log_q = _of_rest(log_p, rest)
                q = p if rest is None else log_q.exp()
                h = -(q * log_q).sum(-1, keepdim=True)
                grad -= (log_q + h) * q * (scale * weights[2][i])
            grads.append(grad)
        return (None, ) * 6 + tuple(grads)


def _log(probs: torch.Tensor) -> torch.Tensor:
    """Finite, so that 0 log 0 is 0."""
    return probs.clamp_min(torch.finfo(probs.dtype).tiny).log()


def _of_rest(log_probs: torch.Tensor,
             rest: Optional[torch.Tensor]) -> torch.Tensor:
    return log_probs if rest is None else (log_probs + rest).log_softmax(-1)
