# Copyright (c) mmdckd contributors. All rights reserved.
"""``mmdckd train --data``, as a user calls it."""

import os
import shutil

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from mmdckd.cli.device import use_device
from mmdckd.cli.train import main


class Net(nn.Sequential):
    def __init__(self, num_classes):
        super().__init__(
            nn.Conv2d(3, 8, 3, stride=2),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, num_classes),
        )


LOSS = 'model.distiller.collective_losses.loss_dckd'
NET = f'python:{__name__}.Net'

pytestmark = pytest.mark.usefixtures('rough_figures')


@pytest.fixture(scope='module')
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp('photos')
    digits = load_digits()
    for label, name in enumerate(['zero', 'one', 'two']):
        (folder / name).mkdir()
        for i, image in enumerate(digits.images[digits.target == label][:12]):
            picture = Image.fromarray((image * 15.9).astype(np.uint8))
            picture.resize((16, 16)).save(folder / name / f'{i}.png')
    return folder


def train(photos, folder, *options, teacher=NET):
    main(
        ['--data', str(photos), '--teacher', teacher, '--student', NET]
        + [
            '--students',
            '2',
            '--epochs',
            '2',
            '--batch-size',
            '8',
            '--work-dir',
            str(folder),
            *options,
        ]
    )


def weights(path):
    return torch.load(path, weights_only=True)['state_dict']


def same(one, other):
    one, other = weights(one), weights(other)
    return one.keys() == other.keys() and all(
        torch.equal(one[key], other[key]) for key in one
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    'options',
    [
        [
            '--amp',
            '--fast',
            '--optimizer',
            'adamw',
            '--augmentation',
            'flip',
            '--workers',
            '1',
        ],
        [
            '--cfg-options',
            'optim_wrapper.optimizer.weight_decay=0.01',
            'param_scheduler.0.start_factor=0.5',
            'default_hooks.checkpoint.max_keep_ckpts=1',
            'model.distiller.collective_losses.loss_dckd.alpha=2.0',
        ],
    ],
    ids=['flags', 'cfg-options'],
)
def test_the_config_that_is_written_is_the_same_run(photos, tmp_path, options):
    train(photos, tmp_path / 'a', *options)
    config = tmp_path / 'a' / 'students.py'
    main([str(config), '--work-dir', str(tmp_path / 'b')])
    assert same(tmp_path / 'a' / 'students' / 'epoch_2.pth', tmp_path / 'b/epoch_2.pth')


@pytest.mark.slow
def test_what_the_options_change_is_in_both_configs(photos, tmp_path, capsys):
    train(
        photos,
        tmp_path,
        '--amp',
        '--fast',
        '--lr=0.01',
        '--device=cpu',
        '--cfg-options',
        'model.distiller.collective_losses.loss_dckd.alpha=2.0',
        'param_scheduler.0.start_factor=0.5',
    )
    for name in ('teacher', 'students'):
        cfg = Config.fromfile(tmp_path / f'{name}.py')
        assert cfg.optim_wrapper.type == 'mmdckd.CPUAmpOptimWrapper'
        assert cfg.optim_wrapper.optimizer.lr == 0.01
        assert cfg.optim_wrapper.optimizer.fused and cfg.model.channels_last
        assert cfg.param_scheduler[0].start_factor == 0.5
    assert cfg.model.distiller.collective_losses.loss_dckd.alpha == 2
    printed = capsys.readouterr().out
    for name in ('lr', 'amp', 'batch_size', 'epochs'):
        assert f'\n{name} = ' not in printed
    for name in ('device', 'image_size', 'augmentation', 'optimizer', 'warm_up'):
        assert f'\n{name} = ' in printed
    *_, used, accuracy, size, place, report = printed.splitlines()
    assert used.startswith('Use student') and 'the teacher' in accuracy
    assert 'parameters' in size and str(tmp_path / 'exported') in place
    assert str(tmp_path / 'report.html') in report


def test_the_console_calls_a_teacher_in_training_so(photos, tmp_path, capsys):
    train(photos, tmp_path, '--epochs', '1')
    first, students = capsys.readouterr().out.split('2 x Net: training in')
    assert '\nteacher | teacher | Net' in first
    for text in ('task loss: teacher ', 'accuracy/top1: teacher ', ': teacher ('):
        assert text in first
    assert 'student' not in first.replace(str(tmp_path), '')
    assert 'student0' in students
    assert 'No checkpoint found' not in first + students
    # What files and keys are called, it stays.
    assert (tmp_path / 'teacher' / 'exported' / 'student0.pth').is_file()
    (scalars,) = (tmp_path / 'teacher').glob('*/vis_data/scalars.json')
    assert '"student0/accuracy/top1"' in scalars.read_text()
    (summary,) = (tmp_path / 'teacher').glob('*/vis_data/cohort_summary.json')
    assert '"student0"' in summary.read_text()


@pytest.mark.parametrize(
    'options, message',
    [
        (['--cfg-options', 'optim_wraper.clip_grad=None'], "Did you mean 'optim_wrapp"),
        (
            ['--cfg-options', 'work_dir=x'],
            'expected no `work_dir`, which is set by work_dir',
        ),
        (['--cfg-options', 'param_scheduler.9.end=1'], 'Invalid `cfg_options`: .*9'),
        (
            ['--cfg-options', 'train_dataloader.num_wokers=1'],
            "Invalid `train_dataloader.num_wokers`: .* Did you mean 'num_workers'",
        ),
        (
            ['--cfg-options', 'test_dataloader.bach_size=1'],
            "Invalid `test_dataloader.bach_size`: .* Did you mean 'batch_size'",
        ),
        (['--batch-size', '31'], 'Invalid `batch_size`: expected at most 30'),
        (['--epochs', '0'], 'Invalid `epochs`'),
        (['--lr', '-1'], 'Invalid `lr`: expected a positive number'),
        (['--workers', '-1'], 'Invalid `num_workers`'),
        (['--work-dir', '/dev/null/run'], 'Invalid `work_dir`: expected a folder'),
    ],
)
def test_nothing_is_trained_with_options_that_do_not_fit(
    photos, tmp_path, options, message
):
    with pytest.raises(SystemExit, match=message):
        train(photos, tmp_path, *options, teacher='none')
    assert not list(tmp_path.rglob('*.pth'))


def test_a_wrong_option_of_the_students_is_told_before_the_teacher_trains(
    photos, tmp_path
):
    option = 'model.distiller.collective_losses.loss_dckd.tau=-1'
    with pytest.raises(SystemExit, match='tau'):
        train(photos, tmp_path, '--cfg-options', option)
    assert not list(tmp_path.rglob('*.pth'))


@pytest.mark.parametrize(
    'option, key',
    [
        ('optim_wrapper.optimizer.momentumm=0.9', 'optim_wrapper.optimizer'),
        ('optim_wrapper.optimizer.lr=-1', 'optim_wrapper.optimizer'),
        ('param_scheduler.0.strt=1', 'param_scheduler[0]'),
        ('randomness.sed=3', 'randomness'),
        ('train_dataloader.dataset.data_rot=x', 'train_dataloader.dataset'),
        ('train_dataloader.sampler.shuffled=True', 'train_dataloader.sampler'),
        ('val_evaluator.topc=3', 'val_evaluator'),
        ('default_hooks.logger.intervals=3', 'default_hooks.logger'),
        (f'{LOSS}.tau=-1', LOSS),
    ],
)
@pytest.mark.parametrize('teacher', [NET, 'none'], ids=['taught', 'alone'])
def test_a_setting_that_fails_is_named(photos, tmp_path, option, key, teacher):
    with pytest.raises(SystemExit) as end:
        train(photos, tmp_path, '--cfg-options', option, teacher=teacher)
    assert end.value.code.startswith(f'error: `{key}`: ')
    assert not list(tmp_path.rglob('*.pth'))


@pytest.mark.parametrize(
    'arguments, message',
    [
        (['--data', 'x', '--student', 'x', '--resume', 'a.pth'], 'resumes by itself'),
        (['--data', 'x', '--student', 'x', '--no-validate'], '--no-validate needs a c'),
        (['--data', 'x', '--student', 'x', '--launcher=pytorch'], '--launcher needs a'),
        (['a.py', '--no-amp'], '--no-amp needs --data'),
        (['a.py', '--optimizer=sgd'], '--optimizer needs --data'),
    ],
)
def test_options_that_do_not_go_together(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


def test_the_first_line_comes_before_the_slow_imports(monkeypatch, capsys):
    def stop(*args):
        raise SystemExit('the console is opened')

    monkeypatch.setattr('mmdckd.cli.train.open_console', stop)
    with pytest.raises(SystemExit, match='the console is opened'):
        main(['--data', 'photos', '--student', NET])
    assert capsys.readouterr().out == 'Reading the images in photos\n'


def test_options_reach_the_call(monkeypatch):
    called = []

    def distill(data, **options):
        called.append(dict(options, data=data))
        raise SystemExit

    monkeypatch.setattr('mmdckd.easy.distillation.distill', distill)
    required = ['--data', 'photos', '--student', 'net']
    given = ['--students', '3', '--workers', '2', '--amp', '--work-dir', 'run']
    for options in ([], [*given, '--pretrained', '--seed', '7', '--lr', '0.1']):
        with pytest.raises(SystemExit):
            main([*required, *options])
    unset = ('num_students', 'epochs', 'image_size', 'batch_size', 'lr', 'optimizer')
    unset += ('augmentation', 'num_workers', 'unlabeled', 'amp', 'cfg_options')
    usual = dict.fromkeys(unset) | dict(
        data='photos',
        student='net',
        teacher='none',
        pretrained=False,
        seed=0,
        fast=False,
        verbose=False,
    )
    changed = dict(num_students=3, num_workers=2, amp=True, work_dir='run', lr=0.1)
    assert called == [usual, usual | changed | dict(pretrained=True, seed=7)]


@pytest.mark.slow
def test_another_run_is_not_resumed(photos, tmp_path):
    train(photos, tmp_path, teacher='none')
    config = (tmp_path / 'students.py').read_text()
    other = tmp_path / 'photos'
    shutil.copytree(photos, other)
    next(other.rglob('*.png')).unlink()
    for data, options in ((photos, ['--students', '3']), (other, [])):
        with pytest.raises(
            SystemExit, match='Invalid `work_dir`: .* whose run has (an)?other '
        ):
            train(data, tmp_path, *options, teacher='none')
        assert (tmp_path / 'students.py').read_text() == config


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_gpu_that_is_not_there():
    with pytest.raises(SystemExit, match='Invalid `--device`: expected cpu'):
        use_device('cuda')


def test_the_cpu_where_there_is_a_gpu(monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    use_device('cpu')
    assert os.environ['CUDA_VISIBLE_DEVICES'] == ''


@pytest.mark.parametrize('device', [['--device', 'cpu'], ['--device=cpu']])
def test_gpus_are_hidden_before_torch_is_imported(monkeypatch, device):
    """The console, or an argument, imported it first, so that a GPU was used."""
    seen = []

    def note(*args):
        seen.append(os.environ['CUDA_VISIBLE_DEVICES'])
        raise SystemExit

    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    monkeypatch.setattr('mmengine.config.DictAction', note)
    monkeypatch.setattr('mmdckd.cli.train.open_console', note)
    for others in (['--cfg-options', 'a=1'], []):
        os.environ['CUDA_VISIBLE_DEVICES'] = '0'
        with pytest.raises(SystemExit):
            main(['--data', 'x', '--student', 'x', *others, *device])
    assert seen == ['', '']
