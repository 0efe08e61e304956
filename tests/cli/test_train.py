# Copyright (c) mmdckd contributors. All rights reserved.
import math
import os
import os.path as osp

import pytest
import torch

from helpers.commands import (
    COHORT,
    REPO,
    STUDENTS,
    TEACHER,
    call,
    call_tool,
    free_port,
    run,
    run_tool,
    scalars,
    warm_path,
)
from mmdckd.cli import train
from mmdckd.engine.optimizers.cpu_amp import amp_type

IMAGENET = osp.join('configs', 'dckd_r34_r18_imagenet.py')
DML = osp.join('configs', 'dml', 'dml_r18_digits.py')
PLAIN = osp.join('configs', 'plain', 'plain_r18_digits.py')
#: Two iterations an epoch, each of them logged.
SHORT = ('train_dataloader.dataset.indices=128', 'default_hooks.logger.interval=1')


def test_trains_a_teacher_then_a_cohort_and_resumes(tmp_path):
    teacher, cohort = tmp_path / 'teacher', tmp_path / 'cohort'
    run_tool(
        'train.py',
        TEACHER,
        '--work-dir',
        teacher,
        '--cfg-options',
        'train_cfg.max_epochs=1',
        *SHORT,
    )
    ((iterations, validations),) = scalars(teacher)
    assert len(iterations) == 2 and len(validations) == 1
    teacher_top1 = validations[0]['accuracy/top1']
    options = (f'model.teacher_ckpt={teacher / "epoch_1.pth"}', *SHORT)

    run_tool(
        'train.py',
        COHORT,
        '--work-dir',
        cohort,
        '--cfg-options',
        'train_cfg.max_epochs=1',
        *options,
    )
    ((iterations, validations),) = scalars(cohort)
    assert len(iterations) == 2
    for record in iterations:
        for name in STUDENTS:
            assert math.isfinite(record[f'student.{name}.loss'])
            assert record[f'collective.{name}.loss_dckd.teacher'] > 0
    (record,) = validations
    assert record['teacher/accuracy/top1'] == teacher_top1
    assert record['best/accuracy/top1'] == max(
        record[f'{name}/accuracy/top1'] for name in STUDENTS
    )
    assert 'ensemble/accuracy/top1' in record
    assert len(list(cohort.glob('best_*.pth'))) == 1

    run_tool(
        'train.py',
        COHORT,
        '--work-dir',
        cohort,
        '--resume',
        '--amp',
        '--cfg-options',
        'train_cfg.max_epochs=2',
        *options,
    )
    iterations, validations = scalars(cohort)[-1]
    assert [(r['epoch'], r['step']) for r in iterations] == [(2, 3), (2, 4)]
    assert [r['step'] for r in validations] == [2]
    before, after = (
        torch.load(cohort / f'epoch_{i}.pth', weights_only=False) for i in (1, 2)
    )
    assert before['state_dict'].keys() == after['state_dict'].keys()
    for key, weight in before['state_dict'].items():
        if key.endswith('conv1.weight'):
            assert not torch.equal(weight, after['state_dict'][key]), key


@pytest.mark.slow
def test_trains_on_two_processes(tmp_path):
    log = run(
        osp.join('tools', 'dist_train.sh'),
        DML,
        '2',
        '--work-dir',
        str(tmp_path),
        '--auto-scale-lr',
        '--verbose',
        '--cfg-options',
        'train_cfg.max_epochs=1',
        'train_dataloader.batch_size=32',
        *SHORT,
        PATH=warm_path(),
        PORT=free_port(),
    )
    assert 'Distributed training: True' in log
    assert 'GPU number: 2' in log
    ((iterations, validations),) = scalars(tmp_path)
    # 128 images in batches of twice 32.
    assert len(iterations) == 2
    assert set(STUDENTS) <= {key.split('/')[0] for key in validations[0]}


def test_trains_under_slurm(tmp_path):
    # A cluster of one task: srun takes its options and runs the rest.
    srun = tmp_path / 'srun'
    srun.write_text(
        '#!/usr/bin/env bash\n'
        f'echo "$@" > "{tmp_path}/called"\n'
        'while [[ $1 == -* ]]; do\n'
        '    if [[ $1 == -p ]]; then shift; fi\n'
        '    shift\n'
        'done\n'
        'SLURM_PROCID=0 SLURM_NTASKS=1 SLURM_LOCALID=0 '
        'SLURM_NODELIST=localhost "$@"\n'
    )
    srun.chmod(0o755)
    log = run(
        osp.join('tools', 'slurm_train.sh'),
        'partition',
        'job',
        PLAIN,
        str(tmp_path / 'run'),
        '--verbose',
        '--cfg-options',
        'train_cfg.max_epochs=1',
        *SHORT,
        PATH=warm_path(tmp_path),
        GPUS='16',
        SRUN_ARGS='--quiet --exclusive',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=free_port(),
    )
    called = (tmp_path / 'called').read_text()
    assert called.startswith(
        '-p partition --job-name=job --gres=gpu:8 --ntasks=16 '
        '--ntasks-per-node=8 --cpus-per-task=5 --kill-on-bad-exit=1 '
        '--signal=USR1@120 --quiet --exclusive python -u'
    )
    assert 'Distributed training: True' in log
    ((iterations, validations),) = scalars(tmp_path / 'run')
    assert len(iterations) == 2 and len(validations) == 1


@pytest.mark.parametrize('script', ['dist_train.sh', 'slurm_train.sh'])
def test_script_without_arguments_says_how_it_is_used(script):
    process = call(osp.join('tools', script))
    assert process.returncode == 2
    assert process.stderr.startswith(f'usage: tools/{script}')


def test_a_missing_config_is_one_line():
    process = call_tool('train.py', 'nowhere.py')
    assert process.returncode == 1
    assert process.stdout == ''
    assert (
        process.stderr
        == "error: Invalid `config`: expected an existing file, got 'nowhere.py'.\n"
    )


def test_help_has_every_flag_and_an_example():
    printed = run_tool('train.py', '--help')
    for flag in (
        '--work-dir',
        '--resume [PATH]',
        '--amp',
        '--fast',
        '--no-validate',
        '--auto-scale-lr',
        '--no-pin-memory',
        '--no-persistent-workers',
        '--cfg-options',
        '--launcher {none,pytorch,slurm,mpi}',
        '--local_rank',
        '--local-rank',
    ):
        assert flag in printed
    assert f'python tools/train.py {COHORT}' in printed


@pytest.fixture
def merged(monkeypatch):
    """The config of a command line."""
    monkeypatch.chdir(REPO)
    # So that it is taken back, whatever happens to it.
    monkeypatch.setenv('LOCAL_RANK', '')
    monkeypatch.delenv('LOCAL_RANK')

    def merge(*arguments):
        return train.config_of(train.parse_args([*map(str, arguments)]))

    return merge


def test_a_config_is_run_as_it_is(merged):
    cfg = merged(IMAGENET)
    assert cfg.work_dir == './work_dirs/dckd_r34_r18_imagenet'
    assert cfg.launcher == 'none'
    assert not cfg.resume and cfg.load_from is None
    assert cfg.val_cfg.type == 'mmdckd.CollectiveValLoop'
    assert cfg.optim_wrapper.get('type', 'OptimWrapper') == 'OptimWrapper'
    assert 'enable' not in cfg.auto_scale_lr
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.collate_fn.type == 'default_collate'
        assert loader.persistent_workers is True
        assert loader.pin_memory is torch.cuda.is_available()


def test_without_workers_none_persist(merged):
    for cfg in (
        merged(TEACHER),
        merged(IMAGENET, '--cfg-options', 'train_dataloader.num_workers=0'),
    ):
        assert cfg.train_dataloader.persistent_workers is False


def test_flags_of_the_dataloaders(merged):
    cfg = merged(
        IMAGENET,
        '--no-pin-memory',
        '--no-persistent-workers',
        '--cfg-options',
        'val_dataloader.pin_memory=True',
    )
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.pin_memory is False
        assert loader.persistent_workers is False
    cfg = merged(IMAGENET, '--cfg-options', 'val_dataloader.pin_memory=True')
    assert cfg.val_dataloader.pin_memory is True


def test_dataloaders_are_those_of_each_phase(monkeypatch, tmp_path):
    """A phase without workers has none that persist, whatever others have."""
    found = []

    def build_runner(cfg, console):
        found.append(cfg.train_dataloader)
        raise SystemExit

    monkeypatch.chdir(REPO)
    monkeypatch.setenv('LOCAL_RANK', '0')
    monkeypatch.setattr('mmdckd.engine.runner.building.build_runner', build_runner)
    monkeypatch.setattr('mmdckd.engine.runner.phases.rehearse', lambda cfg: None)
    monkeypatch.setattr('mmdckd.engine.runner.phases.check_last_epoch', lambda *_: None)
    path = tmp_path / 'phases.py'
    path.write_text(
        f'_base_ = {osp.join(REPO, TEACHER)!r}\n'
        'train_dataloader = dict(num_workers=2)\n'
        "phases = [{'train_dataloader.num_workers': 0}, {}]\n"
    )
    with pytest.raises(SystemExit):
        train.main([str(path), '--work-dir', str(tmp_path / 'run')])
    (loader,) = found
    assert (loader.num_workers, loader.persistent_workers) == (0, False)


def test_no_validate(merged):
    cfg = merged(TEACHER, '--no-validate')
    assert cfg.val_cfg is None
    assert cfg.val_dataloader is None
    assert cfg.val_evaluator is None


def test_resume(merged, tmp_path):
    cfg = merged(TEACHER, '--cfg-options', 'load_from=start.pth', '--resume')
    assert cfg.resume is True and cfg.load_from is None
    path = tmp_path / 'epoch_3.pth'
    path.touch()
    cfg = merged(TEACHER, '--resume', path)
    assert cfg.resume is True and cfg.load_from == str(path)
    with pytest.raises(SystemExit, match="Invalid `checkpoint`: .*'nowhere.pth'"):
        merged(TEACHER, '--resume', 'nowhere.pth')


def test_amp(merged):
    cfg = merged(TEACHER, '--amp')
    assert cfg.optim_wrapper.type == amp_type()
    assert cfg.optim_wrapper.loss_scale == 'dynamic'
    cfg = merged(TEACHER, '--amp', '--cfg-options', 'optim_wrapper.loss_scale=512.')
    assert cfg.optim_wrapper.loss_scale == 512.0


def test_amp_in_bfloat16_has_nothing_to_scale(merged):
    cfg = merged(TEACHER, '--amp', '--cfg-options', 'optim_wrapper.dtype=bfloat16')
    assert cfg.optim_wrapper.loss_scale == dict(enabled=False)


def test_fast(merged):
    for path in (TEACHER, COHORT):
        cfg = merged(path, '--fast')
        assert cfg.optim_wrapper.optimizer.fused is True
        assert cfg.env_cfg.cudnn_benchmark is True
        assert cfg.model.get('channels_last', False) is (path == COHORT)


def test_auto_scale_lr(merged):
    cfg = merged(TEACHER, '--auto-scale-lr')
    assert cfg.auto_scale_lr == dict(base_batch_size=64, enable=True)
    with pytest.raises(SystemExit, match='`auto_scale_lr`: expected dict'):
        merged(TEACHER, '--auto-scale-lr', '--cfg-options', 'auto_scale_lr={}')
    with pytest.raises(SystemExit, match='`auto_scale_lr`: expected dict.*got None'):
        merged(TEACHER, '--auto-scale-lr', '--cfg-options', 'auto_scale_lr=None')


def test_work_dir_of_the_command_line_comes_first(merged):
    options = ('--cfg-options', 'work_dir=of_config')
    assert merged(TEACHER, *options).work_dir == 'of_config'
    cfg = merged(TEACHER, '--work-dir', 'of_command', *options)
    assert cfg.work_dir == 'of_command'


@pytest.mark.parametrize('flag', ['--local_rank', '--local-rank'])
def test_local_rank_is_passed_on(merged, flag):
    merged(TEACHER, '--launcher', 'pytorch', flag, '3')
    assert os.environ['LOCAL_RANK'] == '3'
    # What torchrun has set stays.
    merged(TEACHER, '--launcher', 'pytorch')
    assert os.environ['LOCAL_RANK'] == '3'
