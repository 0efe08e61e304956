# Copyright (c) mmdckd contributors. All rights reserved.
"""Leaving one out, with an operation whose order shows."""

import pytest
import torch

from mmdckd.models.collectors.leave_one_out import leave_one_out


@pytest.mark.parametrize('number', range(2, 9))
def test_products_of_matrices(number):
    generator = torch.Generator().manual_seed(number)
    values = torch.randn(number, 3, 3, generator=generator, dtype=torch.float64)
    before = values.clone()
    out = leave_one_out(torch.matmul, values)
    for i in range(number):
        expected = torch.eye(3, dtype=torch.float64)
        for j in range(number):
            if j != i:
                expected = expected @ values[j]
        torch.testing.assert_close(out[i], expected)
    assert torch.equal(values, before)
