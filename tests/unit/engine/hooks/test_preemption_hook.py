# Copyright (c) mmdckd contributors. All rights reserved.
"""Processes that are told to end, and go on as if they were not."""

import multiprocessing
import os
import signal
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner

from helpers.resumed import assert_equal, config, final, logged, resumed
from helpers.runs import run_config, train
from mmdckd.engine.hooks import PreemptionHook, preemption_hook

FORK = multiprocessing.get_context('fork')


def lead_group(cfg):
    """Train, as the leader of a group of processes."""
    os.setsid()
    train(cfg)


def start(cfg, iteration):
    """Start a run, and wait until it has logged an iteration."""
    process = FORK.Process(target=lead_group, args=(cfg,))
    process.start()
    while not any(kind == 'train' and step >= iteration for kind, step in records(cfg)):
        assert process.is_alive()
        time.sleep(0.01)
    return process


def records(cfg):
    """What a run that may be writing has logged."""
    try:
        return logged(cfg.work_dir)
    except ValueError:  # half a line
        return {}


def long_config(work_dir, **kwargs):
    """A run that is not over before the signal comes."""
    options = {
        'train_cfg.max_epochs': 6,
        'train_dataloader.batch_size': 32,
        'train_dataloader.dataset.indices': 100,
    }
    return config(work_dir, by_epoch=True, **{**options, **kwargs})


@pytest.fixture(scope='module')
def never_interrupted(tmp_path_factory):
    cfg = long_config(tmp_path_factory.mktemp('whole'))
    train(cfg)
    return logged(cfg.work_dir), final(cfg.work_dir)


@pytest.mark.parametrize(
    'number, code',
    [
        (signal.SIGTERM, 75),
        pytest.param(signal.SIGUSR1, 75, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow),
    ],
)
def test_saves_says_so_and_is_resumed(tmp_path, never_interrupted, number, code, capfd):
    cfg = long_config(tmp_path, workers=2)
    process = start(cfg, 5)
    # To the whole group, as a terminal and a cluster manager send it: workers
    # that load data are hit as well.
    os.killpg(process.pid, number)
    process.join()
    assert process.exitcode == code
    work_dir = Path(cfg.work_dir)
    path = work_dir / 'interrupted.pth'
    assert (work_dir / 'last_checkpoint').read_text() == path.name
    printed = ''.join(capfd.readouterr())
    assert f'Interrupted by {number.name} after iteration' in printed
    assert '`--resume`' in printed and str(path) in printed
    assert 'Traceback' not in printed
    ended = max(step for kind, step in logged(work_dir) if kind == 'train')
    assert 5 <= ended < 24

    resumed(cfg, **{'train_dataloader.num_workers': 0})
    assert not path.exists()
    whole, end = never_interrupted
    assert_equal(logged(work_dir), whole)
    assert_equal(final(work_dir), end)


def test_a_second_ctrl_c_ends_at_once(tmp_path):
    cfg = long_config(tmp_path, **{'train_cfg.max_epochs': 1000})
    process = start(cfg, 2)
    os.kill(process.pid, signal.SIGSTOP)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGCONT)
    process.join()
    assert process.exitcode == 130


def test_it_needs_exact_resumption(tmp_path):
    cfg = run_config(tmp_path, custom_hooks=[dict(type='mmdckd.PreemptionHook')])
    with pytest.raises(ValueError, match="type='mmdckd.ExactResumeHook'"):
        train(cfg)


class Fail(Hook):
    """Ends a run by an exception."""

    def after_train_iter(self, runner, *args, **kwargs):
        raise RuntimeError('it failed')


@pytest.mark.parametrize('by_epoch', [True, False])
def test_signals_mean_afterwards_what_they_meant_before(tmp_path, by_epoch):
    before = [signal.getsignal(number) for number in PreemptionHook.SIGNALS]
    cfg = config(tmp_path, by_epoch, **{} if by_epoch else {'train_cfg.max_iters': 4})
    if by_epoch:
        cfg.train_cfg.max_epochs = 1
    train(cfg)
    assert [signal.getsignal(n) for n in PreemptionHook.SIGNALS] == before
    runner = Runner.from_cfg(config(tmp_path / 'failed', by_epoch))
    runner.register_hook(Fail())
    with pytest.raises(RuntimeError, match='it failed'):
        runner.train()
    assert [signal.getsignal(n) for n in PreemptionHook.SIGNALS] == before


def test_processes_ask_each_other_after_steps_that_take_several_iterations(monkeypatch):
    monkeypatch.setattr(preemption_hook, 'get_world_size', lambda: 2)
    hook, asked = PreemptionHook(), []
    hook._end_if_told = lambda runner, meta: asked.append(meta['iter'])
    for iteration in range(60):
        done = (iteration + 1) % 7 == 0
        wrapper = SimpleNamespace(should_update=lambda done=done: done)
        runner = SimpleNamespace(epoch=0, iter=iteration, optim_wrapper=wrapper)
        hook.after_train_iter(runner, iteration)
    assert asked == [14, 28, 42, 56]


def test_a_signal_during_validation_waits_for_the_next_step(monkeypatch):
    monkeypatch.setattr(preemption_hook, 'get_world_size', lambda: 2)
    hook, asked = PreemptionHook(), []
    hook._end_if_told = lambda runner, meta: asked.append(meta['iter'])
    hook._previous = {signal.SIGTERM: signal.SIG_DFL}
    for iteration in range(6):
        done = (iteration + 1) % 2 == 0
        wrapper = SimpleNamespace(should_update=lambda done=done: done)
        runner = SimpleNamespace(epoch=0, iter=iteration, optim_wrapper=wrapper)
        hook.after_train_iter(runner, iteration)
        if iteration == 2:
            runner.iter += 1
            hook.after_val(runner)
    assert asked == [4]


class TellAtTheEnd(Hook):
    """Tells a run to end after its last step."""

    priority = 'VERY_LOW'

    def __init__(self, fails):
        self.fails = fails

    def after_train(self, runner):
        os.kill(os.getpid(), signal.SIGTERM)
        if self.fails:
            raise RuntimeError('it failed')


@pytest.mark.parametrize('fails', [False, True])
def test_a_signal_after_the_last_step_is_not_lost(tmp_path, fails):
    received = []
    # An earlier test may have started a command here, which would end this process.
    wakeup = signal.set_wakeup_fd(-1)
    before = signal.signal(signal.SIGTERM, lambda *args: received.append(args[0]))
    try:
        runner = Runner.from_cfg(config(tmp_path, **{'train_cfg.max_epochs': 1}))
        runner.register_hook(TellAtTheEnd(fails))
        with pytest.raises(RuntimeError) if fails else nullcontext():
            runner.train()
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.set_wakeup_fd(wakeup, warn_on_full_buffer=False)
    # An error ends the process in any case.
    assert received == [signal.SIGTERM] * (not fails)
