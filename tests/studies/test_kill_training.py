# Copyright (c) mmdckd contributors. All rights reserved.
"""A short version of what docs/developers/reliability.md reports."""

import copy
import json
import os.path as osp

import pytest
import torch

from helpers import warm
from helpers.commands import REPO, run

STRESS = osp.join(REPO, 'studies', 'stress')


@pytest.mark.slow
@pytest.mark.parametrize('variant', ['by iteration', 'export hook'])
def test_killed_again_and_again_it_leaves_what_it_would_have(tmp_path, variant):
    out = tmp_path / 'kills.json'
    run(
        warm.python(),
        osp.join(STRESS, 'kill_training.py'),
        '--kills',
        '2',
        '--variants',
        variant,
        '--out',
        str(out),
        OMP_NUM_THREADS='1',
    )
    result = json.loads(out.read_text())
    assert result['kills'] == 2 and result['runs'] >= 1
    assert sum(result['kills_by_moment'].values()) == 2
    assert result['unreadable_checkpoints'] == 0
    assert result['runs_equal'] == result['runs']
    # What is in the file already is not run again.
    run(
        warm.python(),
        osp.join(STRESS, 'kill_training.py'),
        '--variants',
        variant,
        '--out',
        str(out),
    )
    assert json.loads(out.read_text()) == result


def test_the_comparison_of_work_folders_sees_every_difference(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(STRESS)
    from work_folder import contents, damaged, differences

    checkpoint = dict(
        meta=dict(iter=2, time='now', cfg='a = 1'),
        message_hub=dict(
            runtime_info=dict(best_ckpt='best.pth', best_score=1.5),
            log_scalars={'train/loss': [1.0, float('nan')]},
        ),
        state_dict=dict(weight=torch.ones(3)),
        optimizer={},
    )
    record = '{"loss": 1.5, "lr": 0.1, "time": %s, "step": 1}\n'

    def leave(name, content, time='1.0', lines=1):
        folder = tmp_path / name
        (folder / '20260101_000000' / 'vis_data').mkdir(parents=True)
        torch.save(content, folder / 'iter_2.pth')
        (folder / 'last_checkpoint').write_text('iter_2.pth')
        (folder / '20260101_000000.py').write_text(time)
        scalars = folder / '20260101_000000' / 'vis_data' / 'scalars.json'
        scalars.write_text(record % time * lines + '{"lo')
        return contents(str(folder))

    whole = leave('whole', checkpoint)
    other = copy.deepcopy(checkpoint)
    other['meta'].update(time='later', cfg='a = 2')
    assert differences(whole, leave('same', other, '2.0', 2)) == []
    assert damaged(str(tmp_path / 'same')) == []

    changes = {
        '/iter_2.pth/meta/iter': ('meta', 'iter', 3),
        '/iter_2.pth/state_dict/weight': (
            'state_dict',
            'weight',
            torch.tensor([1.0, 1.0, 1.0 + 2**-23]),
        ),
        '/iter_2.pth/message_hub/log_scalars': (
            'message_hub',
            'log_scalars',
            {'train/loss': [1.0, 2.0]},
        ),
    }
    for number, (place, (part, key, value)) in enumerate(changes.items()):
        other = copy.deepcopy(checkpoint)
        other[part][key] = value
        (found,) = differences(whole, leave(f'changed{number}', other))
        assert found.startswith(place)
    del other['state_dict']
    (tmp_path / 'same' / 'best.pth').write_bytes(b'half')
    (tmp_path / 'same' / 'last_checkpoint').write_text('iter_3.pth')
    assert len(damaged(str(tmp_path / 'same'))) == 2
