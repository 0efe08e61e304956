# Copyright (c) mmdckd contributors. All rights reserved.
"""Draw losses and collectors with all kinds of logits and labels."""

from typing import NamedTuple, Optional

import torch
import torch.nn.functional as F
from hypothesis import strategies as st

from mmdckd.models.losses import DCKDLoss

COLLECTORS = (
    'mean',
    'max',
    'logit_mean',
    'min_logit',
    'naive',
    'linear',
    'confidence',
    'cross_entropy',
    'general',
    'weighted',
)
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
NO_LOGITS = (torch.int64, torch.uint8, torch.bool, torch.complex64)
SPECIAL = dict(nan=float('nan'), inf=float('inf'), minus_inf=-float('inf'), large=None)


class Case(NamedTuple):
    """A loss and its arguments."""

    what: str
    options: dict
    students: object
    teachers: object
    labels: object
    peers: object

    def __repr__(self) -> str:
        shown = [
            f'{name}={_describe(getattr(self, name))}'
            for name in ('students', 'teachers', 'labels', 'peers')
        ]
        return f'{self.what}({self.options}, {", ".join(shown)})'


def _describe(value) -> str:
    if not isinstance(value, torch.Tensor):
        return repr(value)
    text = f'{value.dtype} {tuple(value.shape)}'
    return text if value.numel() > 24 else f'{text} {value.tolist()}'


@st.composite
def cases(draw) -> Case:
    """Draw a case; most have at most one error."""
    num_students = draw(st.integers(1, 4) | st.integers(1, 16))
    num_teachers = draw(st.integers(0, 3))
    num_classes = draw(st.sampled_from([1, 2, 3, 5, 10, 10, 10, 100, 1000, 30000]))
    batch_size = draw(st.integers(1, 3))
    if num_students * num_classes > 50000:
        batch_size = 1
    odd = draw(
        st.sampled_from(
            ['none'] * 4 + ['value', 'value', 'labels', 'dtype', 'shape', 'kind']
        )
    )
    shape = (batch_size, num_classes)
    students = draw(_logits((num_students, *shape), odd))
    teachers = peers = None
    if num_teachers:
        teachers = draw(_logits((num_teachers, *shape), odd))
    if draw(st.booleans()) and draw(st.booleans()):
        peers = draw(_logits((num_students, *shape), odd))
    labels = draw(_labels(shape, odd == 'labels'))
    if odd == 'shape':
        students, teachers, peers = draw(
            st.sampled_from(
                [
                    (students[0], teachers, peers),
                    (students[..., None], teachers, peers),
                    (students[:, :0], None, None),
                    (students[:0], teachers, None),
                    (list(students) + [students[0, :, :-1]], teachers, None),
                    (students, torch.zeros(shape[1], shape[0] + 1), peers),
                    (students, teachers, torch.zeros(num_students + 1, *shape)),
                ]
            )
        )
    if odd == 'kind':
        students, teachers, labels = draw(
            st.sampled_from(
                [
                    (None, teachers, labels),
                    (students.tolist(), teachers, labels),
                    (students, 'teacher', labels),
                    (students, teachers, [0] * batch_size),
                    (students, teachers, 3),
                ]
            )
        )
    what = draw(st.sampled_from(['dckd', 'dckd', 'dckd', 'gated']))
    tau = draw(st.sampled_from([1e-4, 0.5, 1.0, 4.0, 4.0, 100.0, 1e4]))
    if what == 'gated':
        options = dict(num_students=num_students, num_classes=num_classes, tau=tau)
    else:
        weights = st.sampled_from([0.0, 0.1, 1.0, 1.0, 2.5])
        options = dict(
            alpha=draw(weights) if num_teachers else 0.0,
            beta=draw(weights),
            gamma=draw(weights),
            tau=tau,
            collector=draw(st.sampled_from(COLLECTORS)),
            include_self=draw(st.booleans()) or num_students == 1,
            include_teacher=bool(num_teachers) and draw(st.booleans()),
            correlation=draw(st.sampled_from(DCKDLoss.CORRELATIONS)),
        )
    return Case(what, options, students, teachers, labels, peers)


@st.composite
def _logits(draw, shape, odd: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(DTYPES if odd != 'dtype' else NO_LOGITS))
    most = torch.finfo(dtype).max if dtype.is_floating_point else 1.0
    scale = draw(st.sampled_from([0.0, 1e-3, 1.0, 10.0, 10.0, 300.0, 1e4, 1e30, most]))
    if odd == 'dtype':
        return (10 * torch.rand(shape, generator=generator)).to(dtype)
    logits = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    if odd == 'value':
        for _ in range(draw(st.integers(1, 3))):
            index = tuple(draw(st.integers(0, size - 1)) for size in shape)
            value = SPECIAL[draw(st.sampled_from(list(SPECIAL)))]
            logits[index] = value or most * draw(st.sampled_from([-1, 1]))
    finite = logits.clamp(-most, most)
    return torch.where(logits.isinf(), logits, finite).to(dtype)


@st.composite
def _labels(draw, shape, odd: bool) -> Optional[torch.Tensor]:
    batch_size, num_classes = shape
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    hard = torch.randint(num_classes, (batch_size,), generator=generator)
    soft = torch.rand(shape, generator=generator) + 1e-3
    soft /= soft.sum(-1, keepdim=True)
    if not odd:
        return draw(
            st.sampled_from(
                [
                    hard,
                    hard,
                    hard.int(),
                    soft,
                    soft.double(),
                    F.one_hot(hard, num_classes),
                ]
            )
        )
    return draw(
        st.sampled_from(
            [
                None,
                hard - num_classes,
                hard + num_classes,
                hard.double(),
                hard.bool(),
                soft * 3,
                soft - 1,
                soft * float('nan'),
                soft.half().bool(),
                hard[:, None, None],
                soft[:, :-1],
                hard[:-1],
                0 * hard - 100,
                torch.ones(shape),
                soft + 0j,
                soft * float('inf'),
            ]
        )
    )
