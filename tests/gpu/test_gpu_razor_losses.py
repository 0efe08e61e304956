# Copyright (c) mmdckd contributors. All rights reserved.
"""Every loss of MMRazor in a cohort, against float64 on the CPU."""

import pytest
import torch
from small import TOLERANCES, flat, total

from studies.razor.catalog import LOSSES, OTHERS
from studies.razor.check import build, digits

pytestmark = pytest.mark.gpu

CASES = {**LOSSES, **OTHERS}


@pytest.fixture(scope='module')
def images():
    return digits(16)


def losses_and_gradients(model, images):
    # Masks and negatives: MMRazor draws them on the CPU.
    torch.manual_seed(1)
    data = model.data_preprocessor(images, True)
    losses = model(**data, mode='loss')
    total(losses).backward()
    return losses, {
        name: p.grad for name, p in model.named_parameters() if p.grad is not None
    }


@pytest.mark.parametrize('name', CASES)
def test_a_loss_is_what_it_is_in_float64(device, compare, images, name, monkeypatch):
    case = CASES[name]
    kwargs = dict(teacher=None) if name == 'byot' else {}
    ours, reference = build(case, **kwargs), build(case, **kwargs)
    ours.to(device)
    reference.double()
    losses, gradients = losses_and_gradients(ours, images)
    expected, references = losses_and_gradients(reference, images)
    assert losses.keys() == expected.keys()
    for key, value in losses.items():
        if 'loss' in key:
            assert value.device == device
            compare(
                f"MMRazor's losses: {name}",
                value.reshape(-1),
                expected[key].reshape(-1),
                TOLERANCES['razor_loss'],
            )
    assert gradients.keys() == references.keys() and gradients
    compare(
        f"MMRazor's losses: {name}, gradient",
        flat(gradients.values()),
        flat(references[key] for key in gradients),
        TOLERANCES['razor_gradient'],
    )
