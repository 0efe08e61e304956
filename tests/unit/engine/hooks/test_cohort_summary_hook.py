# Copyright (c) mmdckd contributors. All rights reserved.
from pathlib import Path

import torch

from helpers.networks import network
from helpers.runs import run_config, train


def weights(runner):
    return runner.model.state_dict()


def log(runner):
    return '\n'.join(path.read_text() for path in Path(runner.work_dir).glob('*/*.log'))


HOOK = [dict(type='mmdckd.CohortSummaryHook')]


def test_table_is_logged_once_and_changes_nothing(tmp_path):
    with_hook = train(run_config(tmp_path, custom_hooks=HOOK))
    without = train(run_config(tmp_path))
    text = log(with_hook)
    assert text.count('learns what: from whom') == 1
    assert 'images of 3 x 12 x 12' in text
    assert 'loss_dckd.collective: student1' in text
    assert 'from whom' not in log(without)
    for key, value in weights(without).items():
        assert torch.equal(value, weights(with_hook)[key]), key


def test_a_plain_network_is_left_alone(tmp_path):
    cfg = run_config(
        tmp_path,
        custom_hooks=HOOK,
        val_cfg=dict(),
        test_cfg=dict(),
        default_hooks=dict(),
    )
    cfg.model = network()
    assert 'from whom' not in log(train(cfg))
