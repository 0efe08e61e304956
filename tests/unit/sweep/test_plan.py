# Copyright (c) mmdckd contributors. All rights reserved.
import os

import pytest
from mmengine.config import Config

from helpers.sweeps import write_cohort, write_spec, write_teacher
from mmdckd.engine.hooks import CohortCheckpointHook
from mmdckd.models import CollectiveDistill
from mmdckd.registry import HOOKS, MODELS
from mmdckd.sweep.files import write_config
from mmdckd.sweep.plan import make_plan
from mmdckd.sweep.scheduler import Scheduler
from mmdckd.sweep.spec import load_spec


@pytest.fixture
def plan(tmp_path):
    """Plan the methods that a test gives."""
    teacher = dict(config=write_teacher(tmp_path / 'teacher.py'))
    plain = write_cohort(tmp_path / 'plain.py', teacher=False)
    kd = write_cohort(tmp_path / 'kd.py')

    def plan(methods=None, **keys):
        keys.setdefault('seeds', [0, 1])
        keys.setdefault('teachers', dict(tim=teacher))
        methods = methods or dict(plain={}, kd={})
        configs = dict(plain=plain, kd=kd, dml=plain, teacher=teacher['config'])
        methods = {
            name: {'config': configs[name.split()[0]], **entry}
            for name, entry in methods.items()
        }
        path = write_spec(tmp_path / 'spec.py', methods=methods, **keys)
        return make_plan(load_spec(path), str(tmp_path / 'runs'))

    return plan


def finish(run):
    """Leave what a finished run leaves."""
    os.makedirs(run.train_dir)
    for name in ('epoch_2.pth', 'last_checkpoint'):
        with open(os.path.join(run.train_dir, name), 'w') as file:
            file.write('/elsewhere/epoch_2.pth')
    with open(run.result_file, 'w') as file:
        file.write('{}')


def keys(entries):
    return [(e.role, e.name, e.seed) for e in entries]


def test_teachers_come_first_and_then_seed_by_seed(plan):
    entries = plan()
    assert keys(entries) == [
        ('teacher', 'tim', 0),
        ('method', 'plain', 0),
        ('method', 'kd', 0),
        ('method', 'plain', 1),
        ('method', 'kd', 1),
    ]
    teacher = entries[0].run
    assert [e.run.teacher for e in entries] == [None, None, teacher, None, teacher]
    assert len({e.run.folder for e in entries}) == 5


def test_a_teacher_for_every_seed(plan, tmp_path):
    entries = plan(
        teachers=dict(tim=dict(config=str(tmp_path / 'teacher.py'), seed='each'))
    )
    assert keys(entries)[:2] == [('teacher', 'tim', 0), ('teacher', 'tim', 1)]
    assert [e.run.teacher.seed for e in entries if e.name == 'kd'] == [0, 1]


def test_a_teacher_that_nobody_needs_is_not_trained(plan):
    assert keys(plan(dict(plain={}), seeds=[0])) == [('method', 'plain', 0)]


def test_the_same_training_is_run_once(plan):
    entries = plan(dict(teacher={}, plain={}, dml={}, kd={}))
    runs = {(e.role, e.name, e.seed): e.run for e in entries}
    assert runs['teacher', 'tim', 0] is runs['method', 'teacher', 0]
    assert runs['method', 'plain', 1] is runs['method', 'dml', 1]
    assert len(set(runs.values())) == 6


def test_a_run_keeps_its_folder_under_another_name(plan):
    first = plan(dict(plain={}), seeds=[0])[0].run
    finish(first)
    second = plan({'dml': {}}, seeds=[0, 1])
    assert [entry.run.name for entry in second] == ['dml', 'dml']
    assert second[0].run.folder == first.folder
    assert os.path.dirname(second[1].run.folder) == os.path.dirname(first.folder)
    other = plan(dict(dml=dict(cfg_options={'train_cfg.max_epochs': 3})), seeds=[0])
    assert other[0].run.folder != first.folder


def test_a_long_name_is_cut_in_the_name_of_the_folder(plan):
    runs = [entry.run for entry in plan({'plain ' + '蒸馏' * 100: {}})]
    for run in runs:
        os.makedirs(run.folder)
    assert len({run.folder for run in runs}) == 2
    assert os.path.basename(os.path.dirname(runs[0].folder)).startswith('plain_蒸馏')


def test_curves_are_kept_of_what_is_drawn_by_epoch(plan):
    entries = plan(dict(kd={}, dml=dict(group='peers')), seeds=[0])
    assert {e.name: e.keep_curves for e in entries} == dict(
        tim=False, kd=True, dml=False
    )


def test_what_a_run_is_is_in_its_fingerprint(plan, tmp_path):
    teacher = str(tmp_path / 'teacher.py')

    def prints(entry=None, **keys):
        entries = plan(dict(kd=entry or {}), **keys)
        return {e.run.fingerprint for e in entries if e.name == 'kd'}

    base = prints()
    assert len(base) == 1 and base == prints(seeds=[4])
    assert base == prints(
        dict(
            cfg_options={
                'randomness.seed': 9,
                'log_level': 'ERROR',
                'default_hooks.logger.interval': 10,
                'work_dir': 'elsewhere',
            }
        )
    )
    others = [
        prints(dict(cfg_options={'train_cfg.max_epochs': 3})),
        prints(metric='accuracy/top5'),
        prints(
            teachers=dict(
                tim=dict(config=teacher, cfg_options={'train_cfg.max_epochs': 3})
            )
        ),
        prints(teachers=dict(tim=dict(config=teacher, seed=1))),
        prints(teachers={}),
        *(
            prints(dict(cfg_options={f'default_hooks.{name}': hook}))
            for name, hook in dict(
                average=dict(type='EMAHook'),
                param_scheduler=None,
                sampler_seed=None,
                exact_resume=None,
            ).items()
        ),
    ]
    assert len(set.union(base, *others)) == 10
    usual = dict(
        param_scheduler=dict(type='ParamSchedulerHook'),
        sampler_seed=dict(type='mmengine.DistSamplerSeedHook'),
        exact_resume=dict(type='mmdckd.ExactResumeHook'),
    )
    assert base == prints(dict(cfg_options=dict(default_hooks=usual)))


def test_students_in_another_order_are_the_same_run(plan):
    """A cohort has its students in the order of their names."""
    students = dict(a=dict(type='A'), b=dict(type='B'))
    swapped = dict(reversed(students.items()))
    runs = [
        plan(dict(plain=dict(cfg_options={'model.students': each})))[0].run
        for each in (students, swapped)
    ]
    assert runs[0].fingerprint == runs[1].fingerprint


def test_the_complete_config_is_that_of_one_run(plan):
    entries = plan(seeds=[5])
    teacher, _, kd = (entry.run for entry in entries)
    finish(teacher)
    cfg = kd.complete_config(resume=False)
    assert cfg.randomness.seed == 5
    assert cfg.work_dir == kd.train_dir
    assert cfg.model.teacher_ckpt == os.path.join(teacher.train_dir, 'epoch_2.pth')
    assert cfg.resume is False
    assert cfg.default_hooks.checkpoint.save_best == 'best/accuracy/top1'
    assert cfg.default_hooks.checkpoint.rule == 'greater'
    assert cfg.val_cfg.monitor == cfg.test_cfg.monitor == 'accuracy/top1'
    assert kd.complete_config(resume=True).resume is True
    # What is shared by the seeds stays as it was.
    assert 'randomness' not in kd.config and 'resume' not in kd.config


def test_a_lazy_config_is_run_like_any_other(tmp_path):
    config = tmp_path / 'lazy.py'
    config.write_text(
        'from mmengine.config import read_base\n\n'
        'with read_base():\n'
        '    from mmdckd.configs.dckd_r34_r18_imagenet_lazy import *\n'
    )
    spec = write_spec(
        tmp_path / 'spec.py',
        seeds=[0],
        methods=dict(
            lazy=dict(config=str(config)),
            short=dict(config=str(config), cfg_options={'train_cfg.max_epochs': 1}),
        ),
    )
    entries = make_plan(load_spec(spec), str(tmp_path / 'runs'))
    first, second = (entry.run for entry in entries)
    assert first.fingerprint != second.fingerprint
    cfg = first.complete_config(resume=False)
    assert cfg.val_cfg.monitor == 'accuracy/top1'
    write_config(first.config_file, cfg)
    read = Config.fromfile(first.config_file)
    assert read.to_dict() == cfg.to_dict()
    assert MODELS.get(read.model.type) is CollectiveDistill
    hook = read.default_hooks.checkpoint
    assert HOOKS.get(hook.type) is CohortCheckpointHook
    assert hook.save_best == 'best/accuracy/top1'


def test_a_model_without_a_cohort_is_watched_by_its_own_metric(plan):
    teacher = plan()[0].run
    checkpoint = teacher.complete_config(False).default_hooks.checkpoint
    assert checkpoint.save_best == 'accuracy/top1'


def test_a_run_without_validation_has_no_best_epoch(plan):
    options = dict(val_cfg=None, val_dataloader=None, val_evaluator=None)
    run = plan(dict(plain=dict(cfg_options=options)))[0].run
    assert run.complete_config(False).default_hooks.checkpoint.save_best is None


def test_a_checkpoint_counts_when_the_run_is_finished(plan):
    teacher = plan()[0].run
    assert teacher.checkpoint is None
    finish(teacher)
    assert os.path.isfile(teacher.checkpoint)
    os.remove(teacher.result_file)
    assert teacher.checkpoint is None


def test_later_files_come_over_earlier_ones(plan, tmp_path):
    longer = tmp_path / 'longer.py'
    longer.write_text(
        'train_cfg = dict(max_epochs=7)\n'
        'optim_wrapper = dict(_delete_=True, optimizer='
        "dict(type='Adam'))\n"
    )
    entries = plan(dict(plain=dict(config=[str(tmp_path / 'plain.py'), str(longer)])))
    config = entries[0].run.config
    assert config.train_cfg == dict(by_epoch=True, max_epochs=7)
    assert config.optim_wrapper == dict(optimizer=dict(type='Adam'))


SGD = dict(type='SGD', lr=0.1, momentum=0.9)
ADAM = dict(type='Adam', lr=0.1)


def test_each_run_has_the_options_of_its_pair_and_then_its_own(plan):
    pairs = {
        'one': dict(cfg_options={'optim_wrapper': dict(optimizer=SGD)}),
        'two': dict(cfg_options={'optim_wrapper.optimizer': SGD}),
    }
    methods = {
        'plain': {},
        'plain adam': dict(
            cfg_options=dict(optim_wrapper=dict(_delete_=True, optimizer=ADAM))
        ),
        'plain fast': dict(cfg_options={'optim_wrapper.optimizer.lr': 9.0}),
        'plain clipped': dict(cfg_options=dict(optim_wrapper=dict(clip_grad=5))),
        'plain again': {},
    }
    entries = plan(methods, pairs=pairs, teachers={}, seeds=[0])
    found = {(e.pair, e.name): e.run.config.optim_wrapper for e in entries}
    expected = {
        'plain': dict(optimizer=SGD),
        'plain adam': dict(optimizer=ADAM),
        'plain fast': dict(optimizer=dict(SGD, lr=9.0)),
        'plain clipped': dict(optimizer=SGD, clip_grad=5),
        'plain again': dict(optimizer=SGD),
    }
    assert found == {
        (pair, name): expected[name] for pair in pairs for name in expected
    }


def test_which_of_several_teachers_must_be_said(plan, tmp_path):
    teacher = dict(config=str(tmp_path / 'teacher.py'))
    two = dict(tim=teacher, tom=dict(teacher, seed=1))
    with pytest.raises(ValueError, match="`methods.kd`: expected `teacher`.*'tom'"):
        plan(teachers=two)
    entries = plan(dict(plain={}, kd=dict(teacher='tom')), teachers=two)
    assert keys(entries)[0] == ('teacher', 'tom', 1)


def test_a_config_without_a_test_is_refused(plan):
    with pytest.raises(
        ValueError, match='`methods.kd`: expected a config with `test_dataload'
    ):
        plan(dict(kd=dict(cfg_options=dict(test_dataloader=None))))


def test_settings_that_do_not_fit_the_config_are_refused(plan):
    options = {'model.teacher': None, 'model.teacher.depth': 8}
    with pytest.raises(
        ValueError, match='`methods.kd`: expected configs and `cfg_options` that'
    ):
        plan(dict(kd=dict(cfg_options=options)))


class Launcher:
    """Notes the runs that a scheduler starts, which never end."""

    def __init__(self):
        self.started = []

    def start(self, commands):
        self.started += [each.arguments[4] for each in commands]
        return [self for _ in commands]

    def find(self, job_files):
        return {}

    def poll(self):
        return None


def test_a_finished_teacher_without_its_weights_is_trained_again(plan):
    teacher, student = (entry.run for entry in plan(dict(kd={}), seeds=[0]))
    finish(teacher)
    os.remove(os.path.join(teacher.train_dir, 'epoch_2.pth'))
    launcher = Launcher()
    scheduler = Scheduler([teacher, student], [{}, {}], True, launcher)
    assert scheduler.poll() == []
    assert launcher.started == [teacher.result_file]
    # Weights of an epoch before its last one do not make it finished.
    with open(os.path.join(teacher.train_dir, 'epoch_2.pth'), 'w'):
        pass
    assert scheduler.poll() == [] and len(launcher.started) == 1
    finish_again(teacher)
    scheduler.poll()
    assert launcher.started == [teacher.result_file, student.result_file]


def finish_again(run):
    with open(run.result_file, 'w') as file:
        file.write('{}')


@pytest.mark.parametrize('folder', ['', 'phase0'])
def test_a_run_is_resumed_in_whichever_phase_it_was_interrupted(plan, folder):
    (entry,) = plan(dict(plain={}), seeds=[0])
    path = os.path.join(entry.run.train_dir, folder, 'last_checkpoint')
    os.makedirs(os.path.dirname(path))
    for resume in (True, False):
        with open(path, 'w') as file:
            file.write('epoch_1.pth')
        Scheduler([entry.run], [{}], resume, Launcher()).poll()
        with open(entry.run.config_file) as file:
            assert f'resume = {resume}' in file.read()
        assert os.path.exists(path) is resume
        os.makedirs(os.path.dirname(path), exist_ok=True)
