# Copyright (c) mmdckd contributors. All rights reserved.
from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub

from mmdckd.sweep.validation_curves import CurvesHook, curves_of, validation_of


@pytest.fixture
def hub():
    hub = MessageHub('curves')
    hub.update_scalar('train/loss', 9.0)
    hub.update_scalar('val/time', 9.0)
    return hub


def validate(hub, epoch, **metrics):
    for key, value in metrics.items():
        hub.update_scalar(f'val/{key}', value)
    batches = range(10)  # of an epoch
    CurvesHook().after_val_epoch(
        SimpleNamespace(
            message_hub=hub, iter=epoch * len(batches), train_dataloader=batches
        )
    )


def test_every_validation_is_kept(hub):
    validate(hub, 2, nll=1.0)
    validate(hub, 4, nll=2 / 3, ece=0.1)
    assert curves_of(hub) == dict(epoch=[2, 4], nll=[1.0, 0.66667], ece=[None, 0.1])
    assert validation_of(hub) == dict(nll=2 / 3, ece=0.1)


def test_a_resumed_run_goes_on_with_its_curves(hub):
    validate(hub, 1, nll=3.0)
    resumed = MessageHub('resumed')
    resumed.load_state_dict(hub.state_dict())
    validate(resumed, 2, nll=2.0)
    assert curves_of(resumed) == dict(epoch=[1, 2], nll=[3.0, 2.0])
    assert curves_of(hub) == dict(epoch=[1], nll=[3.0])


def test_without_validation_there_are_none(hub):
    assert curves_of(hub) == validation_of(hub) == {}
