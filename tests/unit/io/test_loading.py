# Copyright (c) mmdckd contributors. All rights reserved.
import io
import os
import pickle

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub


def load(content):
    """Save and load as torch does by default since 2.6."""
    file = io.BytesIO()
    torch.save(content, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def test_what_the_message_hub_holds_is_loaded():
    hub = MessageHub('test_compat')
    for value in (1.5, 2.5):
        hub.update_scalar('train/loss', value)
        hub.update_scalar('train/count', int(value), 3)
    hub.update_info('best', np.float32(0.5))
    hub.update_info('flag', np.bool_(True))
    hub.update_info('numbers', np.arange(3))
    loaded = load(hub.state_dict())
    loss = loaded['log_scalars']['train/loss']
    assert isinstance(loss, HistoryBuffer)
    np.testing.assert_array_equal(loss.data[0], [1.5, 2.5])
    np.testing.assert_array_equal(loaded['log_scalars']['train/count'].data[1], [3, 3])
    assert loss.mean() == 2.0
    assert loss.statistics('max') == 2.5
    info = loaded['runtime_info']
    assert info['best'] == np.float32(0.5) and info['flag']
    np.testing.assert_array_equal(info['numbers'], np.arange(3))


class RunsCode:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    'evil',
    [
        RunsCode(os.system, 'exit 3'),
        RunsCode(eval, '1'),
        RunsCode(getattr, str, 'join'),
        RunsCode(getattr, HistoryBuffer, '__init__'),
        RunsCode(np.load, 'file'),
    ],
    ids=['system', 'eval', 'getattr', 'private', 'numpy'],
)
def test_no_code_is_run_by_what_is_loaded(evil):
    with pytest.raises(pickle.UnpicklingError):
        load(evil)
