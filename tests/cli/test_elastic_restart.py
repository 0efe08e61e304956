# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp

import pytest
import torch

from helpers.commands import REPO, call, free_port, run, scalars, warm_path
from mmdckd.cli import train

DML = osp.join(REPO, 'configs', 'dml', 'dml_r18_digits.py')
HOOK = '''
import os, signal
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

@HOOKS.register_module()
class DieOnceHook(Hook):
    """The second process is killed in the second epoch, the first time."""

    def before_train_iter(self, runner, **kwargs):
        if (runner.rank, runner.iter) == (1, 3):
            with open('{path}', 'a') as file:
                count = os.environ['TORCHELASTIC_RESTART_COUNT']
                file.write(count)
            if count == '0':
                os.kill(os.getpid(), signal.SIGKILL)
'''


@pytest.mark.slow
@pytest.mark.parametrize('parallel', ['data', 'cohort'])
def test_a_killed_process_is_replaced_and_the_run_goes_on(parallel, tmp_path):
    (tmp_path / 'die_once.py').write_text(HOOK.format(path=tmp_path / 'counts'))
    (tmp_path / 'config.py').write_text(
        f'_base_ = {DML!r}\n'
        "custom_imports = dict(imports=['die_once'])\n"
        "custom_hooks = [dict(type='mmengine.DieOnceHook')]\n"
    )

    def train(command, name, *options, restarts=1):
        return command(
            osp.join('tools', 'dist_train.sh'),
            str(tmp_path / 'config.py'),
            '2',
            '--work-dir',
            str(tmp_path / name),
            '--cfg-options',
            'train_cfg.max_epochs=3',
            'train_dataloader.batch_size=32',
            'train_dataloader.dataset.indices=128',
            'default_hooks.logger.interval=1',
            f'model.parallel={parallel}',
            *options,
            PATH=warm_path(),
            PORT=free_port(),
            MAX_RESTARTS=str(restarts),
            PYTHONPATH=str(tmp_path),
        )

    train(run, 'killed')
    assert (tmp_path / 'counts').read_text() == '01'
    before, after = scalars(tmp_path / 'killed')
    assert [r['epoch'] for r in before[0]] == [1, 1, 2]
    assert [r['epoch'] for r in after[0]] == [2, 2, 3, 3]
    assert [r['step'] for r in after[1]] == [2, 3]

    train(run, 'whole', 'custom_hooks=[]')
    killed, whole = (
        torch.load(tmp_path / name / 'epoch_3.pth', weights_only=True)
        for name in ('killed', 'whole')
    )
    for key, weight in whole['state_dict'].items():
        torch.testing.assert_close(killed['state_dict'][key], weight)

    # Without a restart, all processes end, and say which one died.
    ended = train(call, 'ended', restarts=0)
    assert ended.returncode == 1
    assert 'SIGKILL' in ended.stderr
    assert 'rank      : 1' in ended.stderr


@pytest.mark.parametrize(
    'count, checkpoint, resumes',
    [('0', True, False), ('1', False, False), ('1', True, True)],
)
def test_a_restart_resumes_where_there_is_a_checkpoint(
    count, checkpoint, resumes, tmp_path, monkeypatch
):
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.setenv('TORCHELASTIC_RESTART_COUNT', count)
    if checkpoint:
        (tmp_path / 'last_checkpoint').touch()
    cfg = train.config_of(train.parse_args([DML, '--work-dir', str(tmp_path)]))
    assert bool(cfg.get('resume')) == resumes
