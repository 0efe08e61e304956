# Copyright (c) mmdckd contributors. All rights reserved.
"""The times are given, not measured."""
import logging
from types import SimpleNamespace

import pytest
from cohort_runs import loader, run_config, train
from mmengine.logging import MessageHub

from mmdckd.engine.hooks import DataTimeHook


class Log:

    def __init__(self):
        self.warnings = []

    def warning(self, message):
        self.warnings.append(message)


@pytest.fixture
def runner():
    return SimpleNamespace(
        message_hub=MessageHub('data_time'),
        logger=Log(),
        train_dataloader=SimpleNamespace(num_workers=3))


def iterate(hook, runner, number, waited, took):
    for _ in range(number):
        runner.message_hub.update_scalar('train/data_time', waited)
        runner.message_hub.update_scalar('train/time', took)
        hook.after_train_iter(runner, 0)


def test_it_warns_once_where_training_waits(runner):
    hook = DataTimeHook(interval=20)
    hook.before_train(runner)
    iterate(hook, runner, 10 + 10, 0.1, 1.)
    iterate(hook, runner, 9, 0.5, 1.)
    assert 'train/data_share' not in runner.message_hub.log_scalars
    iterate(hook, runner, 1, 0.5, 1.)
    share = runner.message_hub.get_scalar('train/data_share')
    assert share.current() == pytest.approx(0.3)
    warning, = runner.logger.warnings
    assert warning.startswith('30% of the time of the last 20 iterations')
    assert '`train_dataloader.num_workers` is 3' in warning
    iterate(hook, runner, 20, 0.9, 1.)
    assert share.current() == pytest.approx(0.9)
    assert len(runner.logger.warnings) == 1


def test_it_is_silent_where_data_is_there(runner):
    hook = DataTimeHook(interval=20)
    hook.before_train(runner)
    # In the first iterations workers start.
    iterate(hook, runner, 10, 5., 6.)
    iterate(hook, runner, 40, 0.19, 1.)
    assert not runner.logger.warnings


def test_in_a_run(tmp_path, caplog):
    """Of 18 iterations 10 are passed over, and two shares are logged."""
    cfg = run_config(
        tmp_path,
        custom_hooks=[dict(type='mmdckd.DataTimeHook', most=1e-9, interval=4)],
        train_dataloader=dict(loader('train', indices=36), batch_size=4),
        train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=2))
    with caplog.at_level(logging.WARNING):
        runner = train(cfg)
    shares = runner.message_hub.get_scalar('train/data_share').data[0]
    assert len(shares) == 2 and all(0 < share < 1 for share in shares)


@pytest.mark.parametrize('cfg, name', [(dict(most=0), 'most'),
                                       (dict(most=1.5), 'most'),
                                       (dict(interval=0), 'interval')])
def test_bad_arguments_are_named(cfg, name):
    with pytest.raises(ValueError, match=f'`{name}` of DataTimeHook'):
        DataTimeHook(**cfg)
