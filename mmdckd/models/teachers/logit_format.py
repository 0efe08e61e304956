# Copyright (c) mmdckd contributors. All rights reserved.
import math
from typing import NamedTuple, Optional

import numpy as np
import torch


class KeptLogits(NamedTuple):
    """What is kept of the logits of a batch.

    Attributes:
        values (Tensor): The k logits that are kept, (B, k).
        classes (Tensor, optional): Their classes (B, k); None where k = C.
        rest (Tensor, optional): The log-sum-exp of the others (B,), float32;
            None where k = C.
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
    r"""What a cache keeps of a teacher's logits, and how it gives them back.

    All C logits, or the k largest and the log-sum-exp of the rest,

    .. math:: r = \log \sum_{c \notin \text{top}_k} \exp(z_c)

    which comes back as :math:`r - \log(C - k)` for each class of the rest. At
    temperature 1 the probabilities of the k classes and of the rest together
    are the teacher's, but for the rounding; how the rest is spread is lost,
    and the total variation distance is at most the probability of the rest.
    At a temperature above 1 the rest gets more than the teacher gives it.

    Args:
        classes (int): C.
        top_k (int, optional): k. Defaults to None, all.
        dtype (str): What the logits are rounded to, ``'float16'`` or
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
        """Choose and round.

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

    def spread(self, kept: KeptLogits) -> torch.Tensor:
        """Make logits of what is kept.

        Args:
            kept (KeptLogits): Of B images.

        Returns:
            Tensor: float32 of shape (B, C).
        """
        values = kept.values.float()
        if kept.classes is None or kept.rest is None:
            return values
        each = kept.rest[:, None] - math.log(self.classes - self.top_k)
        return each.repeat(1, self.classes).scatter_(1, kept.classes, values)

    def pack(self, kept: KeptLogits) -> np.ndarray:
        """Make records (B,) of what is kept.

        Raises:
            ValueError: If a logit is not finite in ``dtype``.
        """
        values = kept.values.cpu().numpy()
        if not np.isfinite(values).all():
            raise ValueError(
                f'Invalid logits of a teacher: expected numbers that {self.dtype} '
                'can hold, got a larger one or none. Give `TeacherCacheHook` '
                "dtype='float32', or train without it."
            )
        records = np.empty(len(values), self.record)
        records['values'] = values
        if kept.classes is not None and kept.rest is not None:
            records['classes'] = kept.classes.cpu().numpy()
            records['rest'] = kept.rest.cpu().numpy()[:, None]
        return records

    def unpack(self, records: np.ndarray) -> KeptLogits:
        """The inverse of :meth:`pack`, on the CPU."""
        values = torch.from_numpy(np.array(records['values']))
        if self.top_k == self.classes:
            return KeptLogits(values)
        classes = torch.from_numpy(records['classes'].astype(np.int64))
        return KeptLogits(values, classes, torch.from_numpy(records['rest'][:, 0]))
