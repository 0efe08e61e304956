# Copyright (c) mmdckd contributors. All rights reserved.
"""EMAHook of MMEngine and MMPretrain in a run of a cohort."""

import pytest
import torch

from helpers.runs import run_config, shallow_cohort, top1, train

NAMES = ['student0', 'student1']


@pytest.mark.parametrize(
    'hook',
    [
        dict(type='mmengine.EMAHook'),
        dict(type='mmpretrain.EMAHook'),
        dict(type='mmpretrain.EMAHook', evaluate_on_origin=True),
        pytest.param(
            dict(
                type='mmpretrain.EMAHook',
                evaluate_on_ema=False,
                evaluate_on_origin=True,
            ),
            marks=pytest.mark.slow,
        ),
    ],
    ids=['mmengine', 'ema', 'both', 'origin'],
)
def test_validates_the_weights_that_it_says(hook, tmp_path):
    cfg = run_config(
        tmp_path, shallow_cohort(), custom_hooks=[dict(hook, momentum=0.05)]
    )
    runner = train(cfg)
    saved = torch.load(
        tmp_path / cfg.experiment_name / 'epoch_2.pth', weights_only=True
    )
    averaged, current = tmp_path / 'averaged.pth', tmp_path / 'current.pth'
    torch.save(saved['state_dict'], averaged)
    torch.save(
        {
            key[len('module.') :]: value
            for key, value in saved['ema_state_dict'].items()
            if key.startswith('module.')
        },
        current,
    )
    validated, again = averaged, None
    if not hook.get('evaluate_on_ema', True):
        validated = current
    elif hook.get('evaluate_on_origin'):
        again = current

    scalars = runner.message_hub.log_scalars
    for name in NAMES:
        logged = scalars[f'val/{name}/accuracy/top1'].current()
        assert logged == pytest.approx(top1(validated, name, cfg))
        key = f'val/{name}/accuracy/top1_origin'
        assert (key in scalars) == (again is not None)
        if again:
            assert scalars[key].current() == pytest.approx(top1(again, name, cfg))
    first, second = (torch.load(path) for path in (averaged, current))
    assert any(not torch.equal(first[key], second[key]) for key in first)
    best = runner.message_hub.get_info('best_student')
    assert scalars['val/best/accuracy/top1'].current() == max(
        scalars[f'val/{name}/accuracy/top1'].current() for name in NAMES
    )
    assert (
        scalars[f'val/{best}/accuracy/top1'].current()
        == scalars['val/best/accuracy/top1'].current()
    )
