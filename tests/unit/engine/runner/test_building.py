# Copyright (c) mmdckd contributors. All rights reserved.
import pytest

from helpers.runs import run_config
from mmdckd.engine.runner.building import build_runner
from mmdckd.report.decision import decide
from mmdckd.report.recorded_run import read_run


@pytest.mark.parametrize('by_epoch, steps', [(True, [1, 2]), (False, [3, 6])])
def test_each_validation_is_logged_at_its_own_step(by_epoch, steps, tmp_path):
    cfg = run_config(tmp_path)
    cfg.default_hooks.checkpoint.update(by_epoch=by_epoch)
    if not by_epoch:
        cfg.train_cfg = dict(by_epoch=False, max_iters=6, val_interval=3)
    build_runner(cfg).train()
    run = read_run(cfg.work_dir)
    assert list(run.curves(run.metric)['student0']) == steps
    decision = decide(run)
    assert decision.file == f'{cfg.work_dir}/best.pth'
    assert not [note for note in decision.notes if 'stopped early' in note]
