# Copyright (c) mmdckd contributors. All rights reserved.
import math
from typing import NamedTuple, Optional

import numpy as np
import torch

from mmdckd.errors import invalid


class KeptLogits(NamedTuple):
    """The part of a batch's logits that is stored.

    Attributes:
        values (Tensor): The k largest logits, (B, k).
        classes (Tensor, optional): Their classes, (B, k); None if k = C.
        rest (Tensor, optional): The log-sum-exp of the other logits, float32
            of shape (B,); None if k = C.
    """

    values: torch.Tensor
    classes: Optional[torch.Tensor] = None
    rest: Optional[torch.Tensor] = None

    def to(self, device: torch.device) -> 'KeptLogits':
        """Copy to a device."""
        values, classes, rest = (
            each if each is None else each.to(device, non_blocking=True)
            for each in self
        )
        return KeptLogits(values, classes, rest)  # type: ignore[arg-type]


class LogitFormat:
    r"""Stores logits compactly, and restores them.

    Stores all C logits, or the k largest and the log-sum-exp of the others,

    .. math:: r = \log \sum_{c \notin \text{top}_k} \exp(z_c)

    Each of the others is restored as :math:`r - \log(C - k)`. At temperature 1,
    the restored probabilities of the k classes, and of all others together,
    equal the teacher's up to rounding; only the split among the others is lost.
    So the total variation distance between restored and teacher's
    probabilities is at most the probability of the others. At a temperature
    above 1, the others together get no less than the teacher gives them.

    Args:
        classes (int): C.
        top_k (int, optional): k. Defaults to None, all.
        dtype (str): The type of stored logits, ``'float16'`` or
            ``'float32'``. Defaults to ``'float16'``.
    """

    def __init__(
        self, classes: int, top_k: Optional[int] = None, dtype: str = 'float16'
    ) -> None:
        self.classes = classes
        self.top_k = classes if top_k is None else min(top_k, classes)
        self.dtype = getattr(torch, dtype)
        fields = [('values', dtype, (self.top_k,))]
        if self.top_k < classes:
            number = 'uint16' if classes <= 2**16 else 'uint32'
            fields += [('classes', number, (self.top_k,)), ('rest', 'float32', (1,))]
        #: np.dtype: The record of one image.
        self.record = np.dtype(fields)

    def __repr__(self) -> str:
        return f'LogitFormat({self.classes}, {self.top_k}, {self.dtype})'

    def keep(self, logits: torch.Tensor) -> KeptLogits:
        """Select and round what is stored.

        Args:
            logits (Tensor): Logits (B, C) of any type.

        Returns:
            KeptLogits: On the device of the logits.
        """
        logits = logits.float()
        if self.top_k == self.classes:
            return KeptLogits(logits.to(self.dtype))
        values, classes = logits.topk(self.top_k)
        others = logits.scatter(1, classes, -math.inf)
        return KeptLogits(values.to(self.dtype), classes, others.logsumexp(1))

    def restore(self, kept: KeptLogits) -> torch.Tensor:
        """Restore logits, float32 of shape (B, C)."""
        values = kept.values.float()
        if kept.classes is None or kept.rest is None:
            return values
        each = kept.rest[:, None] - math.log(self.classes - self.top_k)
        return each.repeat(1, self.classes).scatter_(1, kept.classes, values)

    def pack(self, kept: KeptLogits) -> np.ndarray:
        """Pack into records (B,).

        Raises:
            ValueError: If a logit is not finite in ``dtype``.
        """
        values = kept.values.cpu().numpy()
        wrong = values[~np.isfinite(values)]
        if len(wrong):
            raise invalid(
                'TeacherCacheHook.dtype',
                "a type that holds the teacher's logits",
                self.record['values'].base.name,
                f' A logit is {wrong[0]} in it. '
                "Set 'float32', or train without `TeacherCacheHook`.",
            )
        records = np.empty(len(values), self.record)
        records['values'] = values
        if kept.classes is not None and kept.rest is not None:
            records['classes'] = kept.classes.cpu().numpy()
            records['rest'] = kept.rest.cpu().numpy()[:, None]
        return records

    def unpack(self, records: np.ndarray) -> KeptLogits:
        """Invert :meth:`pack`, on the CPU."""
        values = torch.from_numpy(np.array(records['values']))
        if self.top_k == self.classes:
            return KeptLogits(values)
        classes = torch.from_numpy(records['classes'].astype(np.int64))
        rest = torch.from_numpy(np.array(records['rest'][:, 0]))
        return KeptLogits(values, classes, rest)
