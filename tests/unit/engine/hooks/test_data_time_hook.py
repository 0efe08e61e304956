# Copyright (c) mmdckd contributors. All rights reserved.
"""The times are given, not measured."""

from types import SimpleNamespace

import pytest
from mmengine.logging import MessageHub

from helpers.runs import loader, run_config, train
from mmdckd.engine.hooks import DataTimeHook


class Log:
    def __init__(self):
        self.warnings = []

    def warning(self, message, extra=None):
        self.warnings.append(message)


@pytest.fixture
def runner():
    return SimpleNamespace(
        message_hub=MessageHub('data_time'),
        logger=Log(),
        train_dataloader=SimpleNamespace(num_workers=3),
    )


def few_iterations(hook, number=20):
    hook.INTERVAL = number
    return hook


def iterate(hook, runner, number, waited, took):
    for _ in range(number):
        runner.message_hub.update_scalar('train/data_time', waited)
        runner.message_hub.update_scalar('train/time', took)
        hook.after_train_iter(runner, 0)


def test_it_warns_once_where_training_waits(runner):
    hook = few_iterations(DataTimeHook())
    hook.before_train(runner)
    iterate(hook, runner, 10 + 10, 0.1, 1.0)
    iterate(hook, runner, 9, 0.5, 1.0)
    assert not runner.logger.warnings
    iterate(hook, runner, 1, 0.5, 1.0)
    (warning,) = runner.logger.warnings
    assert warning.startswith('The last 20 iterations spent 30% of their time')
    assert '`train_dataloader.num_workers` is 3' in warning
    iterate(hook, runner, 20, 0.9, 1.0)
    assert len(runner.logger.warnings) == 1


def test_a_share_is_of_its_own_iterations(runner):
    hook = few_iterations(DataTimeHook())
    hook.before_train(runner)
    iterate(hook, runner, 10 + 20, 0.1, 1.0)
    iterate(hook, runner, 20, 0.4, 1.0)
    (warning,) = runner.logger.warnings
    assert warning.startswith('The last 20 iterations spent 40% of their time')


def test_it_is_silent_without_times(runner):
    hook = few_iterations(DataTimeHook(), 2)
    hook.before_train(runner)
    for _ in range(10 + 4):
        hook.after_train_iter(runner, 0)
    assert not runner.logger.warnings


def test_it_is_silent_where_data_is_there(runner):
    hook = few_iterations(DataTimeHook())
    hook.before_train(runner)
    # In the first iterations workers start.
    iterate(hook, runner, 10, 5.0, 6.0)
    iterate(hook, runner, 40, 0.19, 1.0)
    assert not runner.logger.warnings


@pytest.mark.parametrize('most, warns', [(1e-9, True), (1.0, False)])
def test_in_a_run(tmp_path, most, warns, monkeypatch):
    """Of 18 iterations 10 are passed over."""
    monkeypatch.setattr(DataTimeHook, 'MOST', most)
    monkeypatch.setattr(DataTimeHook, 'INTERVAL', 4)
    cfg = run_config(
        tmp_path,
        custom_hooks=[dict(type='mmdckd.DataTimeHook')],
        train_dataloader=dict(loader('train', indices=36), batch_size=4),
        train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=2),
    )
    train(cfg)
    (log,) = tmp_path.glob('**/*.log')
    assert log.read_text().count('time waiting for data') == warns
