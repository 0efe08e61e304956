# Copyright (c) mmdckd contributors. All rights reserved.
"""What is exact in stored logits, and what is not."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdckd.models.teachers.logit_format import LogitFormat


def random_logits(seed, batch, classes, scale=5.0):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(batch, classes, generator=generator)


def round_trip(form, logits):
    return form.restore(form.unpack(form.pack(form.keep(logits))))


SHAPES = st.tuples(st.integers(0, 999), st.integers(1, 5), st.integers(2, 40))


@settings(max_examples=25, deadline=None)
@given(SHAPES, st.integers(1, 45))
def test_stored_and_computed_logits_are_restored_equally(shape, top_k):
    logits = random_logits(*shape)
    for dtype in ('float16', 'float32'):
        form = LogitFormat(shape[2], top_k, dtype)
        computed = form.restore(form.keep(logits))
        assert torch.equal(round_trip(form, logits), computed)
        assert computed.dtype == torch.float32


def test_all_logits_are_exact_up_to_their_type():
    logits = random_logits(0, 4, 10)
    assert torch.equal(round_trip(LogitFormat(10, dtype='float32'), logits), logits)
    for form in (LogitFormat(10), LogitFormat(10, top_k=10), LogitFormat(10, 99)):
        assert torch.equal(round_trip(form, logits), logits.half().float())
        assert form.record.itemsize == 20


@settings(max_examples=25, deadline=None)
@given(SHAPES, st.integers(1, 8), st.sampled_from([0.5, 5.0, 20.0]))
def test_top_k_at_temperature_1(shape, top_k, scale):
    """The probabilities of the k classes, and of all others together."""
    logits = random_logits(*shape, scale).double()
    top_k = min(top_k, shape[2])
    restored = round_trip(LogitFormat(shape[2], top_k, 'float32'), logits).double()
    teacher, student = logits.softmax(1), restored.softmax(1)
    classes = logits.topk(top_k)[1]
    kept = teacher.gather(1, classes)
    torch.testing.assert_close(student.gather(1, classes), kept, rtol=1e-5, atol=1e-6)
    distance = (teacher - student).abs().sum(1) / 2
    assert (distance <= 1 - kept.sum(1) + 1e-6).all()


@settings(max_examples=25, deadline=None)
@given(SHAPES, st.integers(1, 8), st.sampled_from([1.5, 4.0, 20.0]))
def test_top_k_at_a_higher_temperature(shape, top_k, tau):
    """The others together get no less than the teacher gives them, and the
    ratios among the k classes stay."""
    logits = random_logits(*shape).double()
    top_k = min(top_k, shape[2])
    restored = round_trip(LogitFormat(shape[2], top_k, 'float32'), logits).double()
    teacher, student = (logits / tau).softmax(1), (restored / tau).softmax(1)
    classes = logits.topk(top_k)[1]
    kept, given_back = teacher.gather(1, classes), student.gather(1, classes)
    assert (given_back.sum(1) <= kept.sum(1) + 1e-6).all()
    torch.testing.assert_close(
        given_back / given_back.sum(1, keepdim=True),
        kept / kept.sum(1, keepdim=True),
        rtol=1e-5,
        atol=1e-6,
    )


def test_top_k_of_equal_others_is_exact_at_any_temperature():
    logits = torch.tensor([[3.0, 1.0, -2.0, -2.0, -2.0]])
    restored = round_trip(LogitFormat(5, 2, 'float32'), logits)
    torch.testing.assert_close(restored, logits)


@pytest.mark.parametrize('classes, number', [(1000, 'uint16'), (70_000, 'uint32')])
def test_many_classes(classes, number):
    form = LogitFormat(classes, 4, 'float32')
    assert form.record['classes'].base == np.dtype(number)
    logits = random_logits(0, 2, classes)
    logits[0, classes - 1] = 99.0
    restored = round_trip(form, logits)
    assert restored[0].argmax() == classes - 1 and restored[0].max() == 99.0
    # 1,000 logits are 2,000 bytes in float16.
    assert LogitFormat(1000, 4).record.itemsize == 4 * (2 + 2) + 4


@pytest.mark.parametrize('value', [np.nan, np.inf, 1e5])
@pytest.mark.parametrize('top_k', [None, 2])
def test_logits_that_do_not_fit_are_refused(value, top_k):
    logits = torch.tensor([[0.0, 1.0, value, 2.0]])
    form = LogitFormat(4, top_k)
    with pytest.raises(ValueError, match="dtype`: expected .*, got 'float16'"):
        form.pack(form.keep(logits))
