# Copyright (c) mmdckd contributors. All rights reserved.
"""The sweeps that are in configs/."""

import functools
from pathlib import Path

import pytest

from helpers.paths import ROOT
from mmdckd.engine.runner.phases import phases_of
from mmdckd.sweep.plan import make_plan
from mmdckd.sweep.spec import load_spec

SPECS = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / 'configs' / 'sweeps').iterdir()
    if path.suffix in ('.py', '.yaml')
)


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@functools.cache
def plan(path):
    return make_plan(load_spec(path), 'work')


def fingerprints(path):
    return {entry.name: entry.run.fingerprint for entry in plan(path)}


@pytest.mark.parametrize('path', SPECS)
def test_every_sweep_can_be_planned(path):
    spec = load_spec(path)
    assert spec.name == Path(path).stem
    names = {entry.name for entry in plan(path) if entry.role == 'method'}
    if spec.name.endswith('_choice'):  # One that compares follows.
        expected = dict(
            evidence_saturated_choice={'kd, alpha 2, ema', 'dckd'},
            evidence_wrong_choice={'kd, alpha 2', 'dckd'},
        ).get(spec.name, {'kd', 'dckd'})
        assert len(spec.seeds) >= 2
    else:
        # What those with another aim compare.
        expected = dict(
            evidence={'rival', 'collective'},
            evidence_eight={'kd, alpha 2, ema', 'held out'},
            evidence_wrong={'kd, alpha 2', 'held out, alpha 1, beta 1'},
            evidence_map={'plain', 'kd', 'dckd'},
            evidence_why={'plain', 'kd'},
        ).get(spec.name, {'kd', 'dml', 'dckd'})
        assert len(spec.seeds) >= 5
    assert expected <= {name.split(' x')[0] for name in names}


@pytest.mark.parametrize('path', SPECS)
def test_only_what_is_frozen_is_looked_up(path):
    for entry in plan(path):
        for phase in phases_of(entry.run.config):
            hooks = [hook['type'] for hook in phase.config.get('custom_hooks') or ()]
            if 'mmdckd.TeacherCacheHook' in hooks:
                model = phase.config.model
                assert model.get('teacher') or model.get('finished_peers'), entry
                assert 'teacher_recorders' not in model.distiller, entry


@pytest.mark.parametrize('path', SPECS)
def test_independent_views_have_a_pipeline_that_makes_them(path):
    for entry in plan(path):
        config = entry.run.config
        dataset = config.train_dataloader.dataset
        pipeline = dataset.get('pipeline') or dataset.dataset.pipeline
        transforms = {step['type']: step for step in pipeline}
        if config.model.get('views') == 'independent':
            assert transforms['MultiView']['num_views'] == config.model.num_students
        else:
            assert 'MultiView' not in transforms


def test_ablation_and_comparison_share_runs():
    ours = fingerprints('configs/sweeps/glyph62_comparison.py')
    ablation = fingerprints('configs/sweeps/glyph62_ablation.py')
    for name in ('resnet14', 'plain', 'kd', 'dml', 'dckd'):
        assert ours[name] == ablation[name], name
    ours = fingerprints('configs/sweeps/digits_ablation.py')
    digits = fingerprints('configs/sweeps/digits.yaml')
    for name in ('resnet34', 'plain', 'kd', 'dml', 'dckd'):
        assert ours[name] == digits[name], name


def test_four_of_kd_are_run_once_and_counted_twice():
    entries = plan('configs/sweeps/glyph62_comparison.py')
    runs = {(e.name, e.seed): e.run for e in entries}
    assert runs['four of kd', 0] is runs['ensemble of four of kd', 0]
    loss = runs['four of kd', 0].config.model.distiller.collective_losses
    assert (loss.loss_kd.beta, loss.loss_kd.gamma) == (0.0, 0.0)


def test_the_long_run_is_four_times_as_long():
    entries = plan('configs/sweeps/glyph62_comparison.py')
    configs = {entry.name: entry.run.config for entry in entries}
    short, long = configs['kd'], configs['kd, four times as long']
    assert long.train_cfg.max_epochs == 4 * short.train_cfg.max_epochs
    for config in (short, long):
        warm_up, decay = config.param_scheduler
        assert warm_up.end == decay.begin
        assert decay.begin + decay.T_max == decay.end
        assert decay.end == config.train_cfg.max_epochs
