# Copyright (c) mmdckd contributors. All rights reserved.
"""Checkpoints that hold their validation, in folders that are moved."""

import json
import os
import re
import shutil
from pathlib import Path
from unittest.mock import MagicMock

import pytest
import torch
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from helpers.resumed import Interrupt, Interrupted
from helpers.runs import loader, run_config, train
from mmdckd.engine.hooks import CohortCheckpointHook
from mmdckd.export import export_student
from mmdckd.export.export_student_hook import _best_checkpoint
from mmdckd.io.best_student import best_student_of
from mmdckd.io.latest import find_latest

BEST = 'best/accuracy/top1'


def small(folder, epochs=3, hook=None, **kwargs):
    """Runs of two steps an epoch, whose rate destroys what they learned."""
    cfg = run_config(
        folder,
        train_dataloader=loader('train', indices=64),
        val_dataloader=loader('val', indices=60),
        train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
        custom_hooks=[dict(type='mmdckd.ExactResumeHook')],
        default_hooks=dict(
            checkpoint=dict(
                dict(type='mmdckd.CohortCheckpointHook', interval=1, save_best=BEST),
                **(hook or {}),
            )
        ),
    )
    cfg.optim_wrapper.optimizer.lr = 0.5
    cfg.merge_from_dict(kwargs)
    return cfg


def load(*path):
    return torch.load(Path(*path), weights_only=True)


def validations(work_dir):
    """The metrics of each validation, by epoch."""
    return {
        record['step']: record
        for path in Path(work_dir).glob('*/vis_data/scalars.json')
        for record in map(json.loads, path.read_text().splitlines())
        if 'lr' not in record
    }


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    cfg = small(tmp_path_factory.mktemp('trained'), epochs=4)
    train(cfg)
    return cfg


@pytest.fixture
def folder(trained, tmp_path):
    """A copy of its work folder."""
    return Path(shutil.copytree(trained.work_dir, tmp_path / 'copy'))


def resume(trained, folder, epochs, **kwargs):
    cfg = small(folder.parent, epochs, **kwargs)
    cfg.work_dir, cfg.resume = str(folder), True
    return train(cfg)


def test_every_checkpoint_has_the_choice_of_its_own_validation(trained):
    metrics = validations(trained.work_dir)
    for epoch in (1, 2, 3, 4):
        best = best_student_of(load(trained.work_dir, f'epoch_{epoch}.pth'))
        scores = {
            name: metrics[epoch][f'{name}/accuracy/top1']
            for name in ('student0', 'student1')
        }
        assert best.note == ''
        assert scores[best.name] == max(scores.values())
        assert metrics[epoch][BEST] == scores[best.name]


def test_names_in_checkpoints_are_relative_and_say_what_was_best(trained):
    metrics = validations(trained.work_dir)
    epoch = max(metrics, key=lambda e: (metrics[e][BEST], -e))
    name = f'best_best_accuracy_top1_epoch_{epoch}.pth'
    last = load(trained.work_dir, 'epoch_4.pth')
    assert last['meta']['best'] == {BEST: dict(score=metrics[epoch][BEST], file=name)}
    info = last['message_hub']['runtime_info']
    assert (info['best_ckpt'], info['last_ckpt']) == (name, 'epoch_4.pth')
    work_dir = Path(trained.work_dir)
    assert (work_dir / 'last_checkpoint').read_text() == 'epoch_4.pth'
    assert (work_dir / 'best.pth').read_bytes() == (work_dir / name).read_bytes()
    assert load(work_dir, 'best.pth')['meta']['epoch'] == epoch


def test_a_checkpoint_without_a_validation_says_which_one_it_uses(tmp_path, capfd):
    cfg = small(tmp_path, epochs=2)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Interrupt('val', 4))
    with pytest.raises(Interrupted):
        runner.train()
    last = Path(cfg.work_dir) / 'epoch_2.pth'
    note = best_student_of(load(last)).note
    assert 'saved after iteration 4 (epoch 2) without a validation' in note
    assert 'the validation after iteration 2 (epoch 1)' in note
    capfd.readouterr()
    name = export_student(str(last), str(tmp_path / 'out')).name
    assert f'{last}: {note}' in ''.join(capfd.readouterr())

    tested = small(tmp_path)
    tested.load_from = str(last)
    runner = Runner.from_cfg(tested)
    metrics = runner.test()
    assert metrics[BEST] == metrics[f'{name}/accuracy/top1']
    assert note in ''.join(capfd.readouterr())

    # Resumed, it is validated, and says nothing more.
    cfg.resume = True
    cfg.experiment_name += '_resumed'
    train(cfg)
    assert best_student_of(load(last)).note == ''


def test_a_copied_folder_is_another_run(trained, folder):
    """The one it was copied from is neither read nor changed."""
    original = Path(trained.work_dir)
    before = {path: path.read_bytes() for path in original.rglob('*') if path.is_file()}
    # Where a best one is found later, the one before is removed: here.
    last = load(folder, 'epoch_4.pth')
    last['message_hub']['runtime_info'].update(
        best_score=0.0, best_ckpt=str(original / 'epoch_4.pth')
    )
    del last['meta']['best']  # as of an older version, which wrote paths
    torch.save(last, folder / 'epoch_4.pth')
    (folder / 'last_checkpoint').write_text(str(original / 'epoch_4.pth'))
    runner = resume(trained, folder, 5)
    assert Path(runner._load_from) == folder / 'epoch_4.pth'
    assert before == {
        path: path.read_bytes() for path in original.rglob('*') if path.is_file()
    }
    assert (folder / 'best_best_accuracy_top1_epoch_5.pth').exists()
    assert not (folder / 'epoch_4.pth').exists()  # was said to be the best


def test_a_moved_folder_keeps_its_best_for_the_export(trained, folder):
    moved = folder.rename(folder.with_name('moved'))
    best = best_student_of(load(moved, 'best.pth')).name
    cfg = small(folder.parent, 4)
    cfg.custom_hooks.append(dict(type='mmdckd.ExportStudentHook'))
    cfg.work_dir, cfg.resume = str(moved), True
    train(cfg)
    weights = load(moved, 'exported', f'{best}.pth')['state_dict']
    expected = load(moved, 'best.pth')['state_dict']
    for key, value in weights.items():
        assert torch.equal(value, expected[f'architecture.students.{best}.{key}'])


def test_a_checkpoint_in_another_folder_brings_its_best(trained, folder, tmp_path):
    cfg = small(tmp_path, 4)
    cfg.load_from, cfg.resume = str(folder / 'epoch_4.pth'), True
    train(cfg)
    name = load(folder, 'epoch_4.pth')['meta']['best'][BEST]['file']
    work_dir = Path(cfg.work_dir)
    assert (work_dir / name).read_bytes() == (folder / name).read_bytes()
    assert (work_dir / 'best.pth').exists()

    # Where it is nowhere, its record is forgotten, and the log says so.
    (folder / name).unlink()
    cfg = small(tmp_path, 5)
    cfg.load_from, cfg.resume = str(folder / 'epoch_4.pth'), True
    runner = train(cfg)
    assert runner.message_hub.get_info('best_ckpt').endswith('_epoch_5.pth')
    (text,) = Path(runner.log_dir).glob('*.log')
    assert f'The best checkpoint, {name}, is neither in' in text.read_text()


def test_another_metric_has_its_own_record(trained, folder):
    """Its first score is less than the best one of the metric before."""
    resume(trained, folder, 6, hook=dict(save_best='best/accuracy/top5'))
    resume(trained, folder, 8)
    best = load(folder, 'best.pth')['meta']
    assert best['epoch'] in (7, 8)
    assert list(best['best']) == [BEST]


def test_several_metrics_take_over_the_record_of_one(trained, folder):
    before = load(folder, 'best.pth')['meta']
    score = before['best'][BEST]['score']
    other = 'ensemble/accuracy/top5'
    runner = resume(trained, folder, 5, hook=dict(save_best=[other, BEST]))
    exported = _best_checkpoint(runner)
    last = load(folder, 'epoch_5.pth')['meta']['best']
    now = validations(folder)[5][BEST]
    assert last[BEST]['score'] == max(score, now)
    assert last[other]['file'] == os.path.basename(exported)


def test_what_a_kill_has_left_to_remove_is_removed(trained, folder):
    """It is in the checkpoint that supersedes it."""
    last = load(folder, 'epoch_4.pth')
    last['meta']['superseded'] = ['epoch_1.pth', '../outside.pth']
    torch.save(last, folder / 'epoch_4.pth')
    outside = folder.parent / 'outside.pth'
    outside.touch()
    resume(trained, folder, 4)
    assert not (folder / 'epoch_1.pth').exists()
    assert (folder / 'epoch_2.pth').exists() and outside.exists()


def test_mmengines_own_hook_trains_and_resumes(tmp_path):
    hook = dict(type='CheckpointHook', max_keep_ckpts=1)
    whole = train(small(tmp_path, 3, hook))
    cfg = small(tmp_path, 3, hook)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(Interrupt('val', 4))
    with pytest.raises(Interrupted):
        runner.train()
    cfg.resume = True
    cfg.experiment_name += '_resumed'
    train(cfg)
    one, other = (load(each, 'epoch_3.pth') for each in (whole.work_dir, cfg.work_dir))
    for key, value in one['state_dict'].items():
        assert torch.equal(value, other['state_dict'][key])


class Saving:
    """What a runner is to a hook that saves."""

    def __init__(self, folder, hook, epochs, iterations=2):
        hub = MessageHub(f'saving{id(self)}')
        self.runner = MagicMock(
            work_dir=str(folder),
            message_hub=hub,
            max_epochs=epochs,
            _max_epochs=epochs,
            max_iters=epochs * iterations,
            _max_iters=epochs * iterations,
            save_checkpoint=self.save,
            hooks=[hook],
        )
        self.runner.train_loop.dataloader = [0] * iterations
        self.hook, self.epochs, self.iterations = hook, epochs, iterations

    def save(self, folder, filename, *args, meta=None, **kwargs):
        torch.save(dict(meta=dict(meta), state_dict={}), os.path.join(folder, filename))

    def train(self, scores):
        """Train with these scores in the validations."""
        hook, runner = self.hook, self.runner
        hook.before_train(runner)
        iteration = 0
        for epoch in range(self.epochs):
            runner.epoch = epoch
            for batch in range(self.iterations):
                runner.iter = iteration
                hook.after_train_iter(runner, batch)
                iteration += 1
            runner.iter = iteration
            hook.after_train_epoch(runner)
            runner.epoch = epoch + 1
            if scores[epoch] is not None:
                hook.after_val_epoch(runner, dict(scores[epoch]))
        hook.after_train(runner)


@pytest.mark.parametrize(
    'options',
    [
        dict(interval=1, max_keep_ckpts=1),
        dict(interval=2, max_keep_ckpts=2, save_last=False),
        dict(interval=1, save_best='acc', max_keep_ckpts=2),
        dict(interval=2, save_best='auto', save_last=True),
        dict(interval=1, save_best=['acc', 'loss'], max_keep_ckpts=3),
        dict(interval=3, by_epoch=False, save_best='acc', max_keep_ckpts=2),
        dict(interval=2, by_epoch=False, save_best=['acc', 'loss'], save_last=False),
        dict(interval=1, save_best='loss', save_begin=2),
        dict(interval=-1, save_last=False, save_best='acc'),
        dict(interval=1, filename_tmpl='at_{}.pth', save_best='acc'),
        dict(interval=1, save_best='acc', published_keys='meta'),
    ],
)
def test_the_same_files_are_left_as_by_mmengine(options, tmp_path):
    scores = [
        dict(acc=1.0, loss=3.0),
        dict(acc=3.0, loss=1.0),
        dict(acc=2.0, loss=2.0),
        None,
        dict(acc=4.0, loss=4.0),
    ]
    left = []
    for kind in (CheckpointHook, CohortCheckpointHook):
        folder = tmp_path / kind.__name__
        folder.mkdir()
        saving = Saving(folder, kind(**options), 5)
        saving.train(scores)
        # What is published has a digest in its name.
        files = {
            re.sub('-[0-9a-f]{8}', '-DIGEST', path.name) for path in folder.iterdir()
        }
        info = saving.runner.message_hub.runtime_info
        left.append(
            (
                files,
                info.get('keep_ckpt_ids'),
                info.get('best_score'),
                [
                    os.path.basename(info[key])
                    for key in sorted(info)
                    if 'ckpt' in key and info[key] and key != 'keep_ckpt_ids'
                ],
            )
        )
    (files, *records), (own_files, *own_records) = left
    assert own_files == files | ({'best.pth'} if 'save_best' in options else set())
    assert own_records == records


def test_the_folder_that_out_dir_names_is_resumed_from(tmp_path):
    cfg = small(tmp_path, 2, dict(out_dir=str(tmp_path / 'saved')))
    train(cfg)
    saved = tmp_path / 'saved' / cfg.experiment_name
    assert (Path(cfg.work_dir) / 'last_checkpoint').read_text() == ('epoch_2.pth')
    assert find_latest(cfg.work_dir, str(saved)) == str(saved / 'epoch_2.pth')
    cfg.merge_from_dict({'train_cfg.max_epochs': 3})
    cfg.resume = True
    cfg.experiment_name += '_resumed'
    runner = train(cfg)
    assert Path(runner._load_from) == saved / 'epoch_2.pth'
    assert (saved / 'epoch_3.pth').exists()


def test_checkpoint_hook_outside_of_training(tmp_path):
    cfg = run_config(tmp_path, train_dataloader=None, train_cfg=None)
    cfg.optim_wrapper = None
    cfg.default_hooks.checkpoint.save_best = None
    assert 'best/accuracy/top1' in Runner.from_cfg(cfg).val()


@pytest.mark.parametrize(
    'by_epoch, names',
    [(True, ['epoch_2.pth', 'epoch_3.pth']), (False, ['iter_4.pth', 'iter_6.pth'])],
)
def test_the_epoch_of_an_early_stop_is_saved(by_epoch, names, tmp_path):
    stop = dict(type='EarlyStoppingHook', monitor=BEST, min_delta=1000.0, patience=2)
    cfg = small(tmp_path, 9, dict(interval=2 if by_epoch else 4, by_epoch=by_epoch))
    cfg.default_hooks.checkpoint.pop('save_best')
    cfg.custom_hooks = [*cfg.custom_hooks, stop]
    runner = train(cfg)
    assert runner.epoch == 3
    found = sorted(path.name for path in Path(cfg.work_dir).glob('*_*.pth'))
    assert found == names
    assert find_latest(cfg.work_dir) == str(Path(cfg.work_dir, names[-1]))
    saved = load(cfg.work_dir, names[-1])
    assert (saved['meta']['epoch'], saved['meta']['iter']) == (3, 6)
    for key, value in runner.model.state_dict().items():
        assert torch.equal(saved['state_dict'][key], value)
    # A run that is resumed where it stopped saves nothing more.
    again = small(tmp_path, 9)
    again.default_hooks, again.custom_hooks = cfg.default_hooks, cfg.custom_hooks
    again.work_dir, again.resume = cfg.work_dir, True
    assert train(again).epoch == 3
    assert sorted(path.name for path in Path(cfg.work_dir).glob('*_*.pth')) == names
