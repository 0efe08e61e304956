# Copyright (c) mmdckd contributors. All rights reserved.
"""Settings that MMEngine would ignore, or read after the first epoch only."""

import pytest
from mmengine.runner import Runner

from helpers.runs import run_config
from mmdckd.engine.checks import check_ignored_settings


def config(tmp_path, changes):
    cfg = run_config(tmp_path)
    cfg.custom_hooks = [dict(type='mmdckd.CheckRunHook')]
    cfg.train_dataloader.dataset.indices = 64
    cfg.train_cfg.max_epochs = 1
    cfg.merge_from_dict(changes)
    return cfg


@pytest.mark.parametrize(
    'key, value, near',
    [
        ('optim_wrapper.paramwise_cfg.norm_decay_multi', 0.0, 'norm_decay_mult'),
        ('env_cfg.cudnn_benchmrk', True, 'cudnn_benchmark'),
        ('auto_scale_lr.enabled', True, 'enable'),
        ('default_hooks.checkpoint.intervall', 5, 'interval'),
    ],
)
def test_a_misspelled_setting_is_refused(tmp_path, key, value, near):
    runner = Runner.from_cfg(config(tmp_path, {key: value}))
    with pytest.raises(ValueError) as error:
        runner.train()
    assert runner.iter == 0
    assert f'Invalid `{key}`: expected ' in str(error.value)
    assert str(error.value).endswith(f"Did you mean '{near}'?")


def test_a_misspelled_factor_of_custom_keys_is_refused(tmp_path):
    custom_keys = {'backbone': dict(lr_mul=0.1)}
    changes = {'optim_wrapper.paramwise_cfg': dict(custom_keys=custom_keys)}
    runner = Runner.from_cfg(config(tmp_path, changes))
    with pytest.raises(ValueError) as error:
        runner.train()
    assert str(error.value) == (
        "Invalid `optim_wrapper.paramwise_cfg.custom_keys['backbone'].lr_mul`: "
        "expected one of lr_mult, decay_mult, got 0.1. Did you mean 'lr_mult'?"
    )


def test_what_an_optimizer_reads_itself_is_left_alone(tmp_path):
    custom_keys = {'bn': dict(decay_mult=0.0, lars_exclude=True)}
    changes = {
        'optim_wrapper.optimizer': dict(_delete_=True, type='LARS', lr=0.1),
        'optim_wrapper.paramwise_cfg': dict(custom_keys=custom_keys),
    }
    check_ignored_settings(Runner.from_cfg(config(tmp_path, changes)))


def test_a_constructor_of_its_own_may_read_more(tmp_path):
    changes = {
        'optim_wrapper.constructor': 'LearningRateDecayOptimWrapperConstructor',
        'optim_wrapper.paramwise_cfg': dict(layer_decay_rate=0.9),
    }
    check_ignored_settings(Runner.from_cfg(config(tmp_path, changes)))


class SigningRunner(Runner):
    def save_checkpoint(self, *args, signed=False, **kwargs):
        super().save_checkpoint(*args, **kwargs)
        self.signed = signed


def test_a_runner_of_its_own_may_read_more(tmp_path):
    cfg = config(tmp_path, {'default_hooks.checkpoint.signed': True})
    runner = SigningRunner.from_cfg(cfg)
    runner.train()
    assert runner.signed
