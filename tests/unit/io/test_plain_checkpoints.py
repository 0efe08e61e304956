# Copyright (c) mmdckd contributors. All rights reserved.
"""Checkpoints hold nothing but tensors, numbers and strings."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import CheckpointLoader, Runner

from helpers.runs import run_config, train
from mmdckd.io.plain import make_plain, restore_message_hub


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return train(
        run_config(
            tmp_path_factory.mktemp('plain'),
            train_cfg=dict(by_epoch=True, max_epochs=1, val_interval=1),
            default_hooks=dict(
                checkpoint=dict(type='CheckpointHook', save_best='best/accuracy/top1'),
                exact_resume=dict(type='mmdckd.ExactResumeHook'),
            ),
        )
    )


def hub(name='plain'):
    hub = MessageHub(name)
    for value in (0.1, 1e-30, 2.5):
        hub.update_scalar('train/loss', value)
        hub.update_scalar('train/count', int(value), 3)
    hub.log_scalars['train/loss'].max_length = 7
    hub.update_info('best', np.float32(0.1))
    hub.update_info('numbers', np.arange(3))
    hub.update_info('nested', dict(a=(np.int64(1), [None, 'b'])))
    return hub


def assert_same_scalars(one, other):
    assert list(one) == list(other)
    for name, history in one.items():
        for before, after in zip(history.data, other[name].data):
            assert type(after) is np.ndarray
            assert before.dtype == after.dtype
            assert before.tobytes() == after.tobytes()
        assert other[name].max_length == history.max_length


def test_a_message_hub_comes_back_bitwise(tmp_path):
    content = dict(meta=dict(), message_hub=hub().state_dict())
    assert make_plain(content) == []
    torch.save(content, tmp_path / 'a.pth')
    read = torch.load(tmp_path / 'a.pth', weights_only=True)
    again = MessageHub('again')
    again.load_state_dict(restore_message_hub(read['message_hub']))
    assert_same_scalars(hub('other').log_scalars, again.log_scalars)
    assert again.get_info('best') == float(np.float32(0.1))
    assert again.get_info('numbers').tolist() == [0, 1, 2]
    assert again.get_info('nested') == dict(a=(1, [None, 'b']))


def test_a_process_without_mmdckd_loads_a_checkpoint(run):
    code = """
import sys, torch
torch.serialization.clear_safe_globals()
content = torch.load(sys.argv[1], weights_only=True)
assert not {'mmengine', 'mmdckd'} & {*sys.modules}
print(sorted(content), len(content['message_hub']['log_scalars']))
"""
    for name in ('epoch_1.pth', 'best_best_accuracy_top1_epoch_1.pth'):
        done = subprocess.run(
            [sys.executable, '-c', code, str(Path(run.work_dir, name))],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert "'state_dict'" in done.stdout


def test_resuming_restores_the_message_hub(run):
    cfg = Config(run.cfg.to_dict())
    cfg.update(
        resume=True,
        load_from=f'{run.work_dir}/epoch_1.pth',
        experiment_name='resumed plain',
    )
    again = Runner.from_cfg(cfg)
    # As training begins.
    again.optim_wrapper = again.build_optim_wrapper(again.optim_wrapper)
    again.load_or_resume()
    saved = CheckpointLoader.load_checkpoint(cfg.load_from)['message_hub']
    assert 'train/loss' in saved['log_scalars']
    assert_same_scalars(
        saved['log_scalars'],
        {name: again.message_hub.log_scalars[name] for name in saved['log_scalars']},
    )
    # The run went on to log, but began with these.
    for name, history in saved['log_scalars'].items():
        here = run.message_hub.log_scalars[name].data[0]
        assert here[: len(history.data[0])].tobytes() == history.data[0].tobytes()
    for key, value in saved['runtime_info'].items():
        assert again.message_hub.get_info(key) == value, key


def test_a_checkpoint_of_before_is_resumed_from(run, tmp_path):
    """Its histories are pickled as MMEngine does."""
    content = CheckpointLoader.load_checkpoint(f'{run.work_dir}/epoch_1.pth')
    content['message_hub']['runtime_info']['best'] = np.float64(0.5)
    torch.save(content, tmp_path / 'old.pth')
    with pytest.raises(Exception, match='HistoryBuffer'):
        with torch.serialization.safe_globals([]):
            allowed = torch.serialization.get_safe_globals()
            torch.serialization.clear_safe_globals()
            try:
                torch.load(tmp_path / 'old.pth', weights_only=True)
            finally:
                torch.serialization.add_safe_globals(allowed)
    read = CheckpointLoader.load_checkpoint(str(tmp_path / 'old.pth'))
    assert_same_scalars(
        content['message_hub']['log_scalars'], read['message_hub']['log_scalars']
    )


@pytest.mark.parametrize(
    'history',
    [
        dict(history=[torch.zeros(2), torch.zeros(3)], max_length=1),
        dict(history=[torch.zeros(2, 2), torch.zeros(2, 2)], max_length=1),
        dict(history=[torch.zeros(2)], max_length=1),
        dict(history=['a', 'b'], max_length=1),
        dict(history=[torch.zeros(2), torch.zeros(2)], max_length='1'),
    ],
)
def test_a_history_of_another_form_is_refused(history):
    with pytest.raises(ValueError, match='Invalid `message_hub.*loss`'):
        restore_message_hub(dict(log_scalars=dict(loss=history)))


def test_a_history_from_a_pickle_is_checked():
    history = HistoryBuffer([1.0], [1])
    history._log_history = 'abc'
    with pytest.raises(ValueError, match='Invalid `message_hub'):
        restore_message_hub(dict(log_scalars=dict(loss=history)))


def test_what_is_not_plain_is_named():
    content = dict(meta=dict(a=[1, Path('a')]), message_hub=dict())
    assert make_plain(content) == ['meta.a.1']


def test_an_array_of_strings_becomes_a_list():
    content = dict(meta=dict(classes=np.array(['cat', 'dog'])), message_hub=dict())
    assert make_plain(content) == []
    assert content['meta'] == dict(classes=['cat', 'dog'])


class OnGPU(torch.Tensor):
    """A tensor that has to be brought to the CPU, as MMEngine resumes to."""

    def numpy(self, **kwargs):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    def cpu(self):
        return self.as_subclass(torch.Tensor)


def test_a_checkpoint_that_was_loaded_to_a_gpu_is_restored():
    parts = [torch.tensor([1.0, 2.0]), torch.tensor([1, 1])]
    state = dict(
        log_scalars={
            'train/loss': dict(
                history=[part.as_subclass(OnGPU) for part in parts], max_length=10
            )
        }
    )
    history = restore_message_hub(state)['log_scalars']['train/loss']
    assert history.data[0].tolist() == [1.0, 2.0]
