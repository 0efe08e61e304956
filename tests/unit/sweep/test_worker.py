# Copyright (c) mmdckd contributors. All rights reserved.
import json
import os
import subprocess
import threading
import time

import pytest
import torch
from filelock import FileLock
from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.flop_counter import FlopCounterMode

from helpers import warm
from helpers.networks import build, network
from helpers.sweeps import write_cohort, write_spec, write_teacher
from mmdckd.sweep import worker
from mmdckd.sweep.files import write_config
from mmdckd.sweep.plan import make_plan
from mmdckd.sweep.progress import read_progress
from mmdckd.sweep.spec import load_spec
from mmdckd.sweep.worker import main


def plan_one(tmp_path, config, **options):
    path = write_spec(
        tmp_path / 'spec.py',
        seeds=[3],
        methods=dict(it=dict(config=config, cfg_options=options)),
    )
    run = make_plan(load_spec(path), str(tmp_path / 'runs'))[0].run
    os.makedirs(run.folder)
    write_config(run.config_file, run.complete_config(resume=False))
    return run


def work(run):
    files = ['--progress', run.progress_file, '--lock', run.lock_file]
    main([run.config_file, run.result_file, *files])
    with open(run.result_file) as file:
        return json.load(file)


def cost_of_a_network():
    """The parameters of a student, and the operations of its step: 8 digits."""
    student = build(**network(width=2))
    with FlopCounterMode(display=False) as counter:
        student(torch.rand(8, 3, 8, 8), mode='tensor').sum().backward()
    return sum(p.numel() for p in student.parameters()), counter.get_total_flops()


def test_a_cohort_is_trained_and_tested(tmp_path):
    run = plan_one(
        tmp_path,
        write_cohort(tmp_path / 'c.py', num_students=2, teacher=False),
        **{'train_cfg.max_epochs': 3},
    )
    result = work(run)
    assert result['students'] == ['student0', 'student1']
    assert result['last']['epoch'] == 3
    names = {
        f'{member}/accuracy/top1'
        for member in ('student0', 'student1', 'best', 'ensemble')
    }
    for stage in ('last', 'best'):
        for split in ('val', 'test'):
            assert set(result[stage][split]) == names
    # The best epoch is what the log of the validations says.
    (log,) = [
        os.path.join(folder, 'scalars.json')
        for folder, _, files in os.walk(run.train_dir)
        if 'scalars.json' in files
    ]
    with open(log) as file:
        lines = [json.loads(line) for line in file]
    history = [
        x['best/accuracy/top1']
        for x in lines
        if 'step' in x and 'best/accuracy/top1' in x
    ][:3]
    assert result['best']['epoch'] == 1 + history.index(max(history))
    assert result['best']['val']['best/accuracy/top1'] == max(history)
    assert result['last']['val']['best/accuracy/top1'] == history[-1]
    assert result['curves']['epoch'] == [1, 2, 3]
    assert result['curves']['best/accuracy/top1'] == pytest.approx(history, rel=1e-4)
    # 24 images in batches of 8, three epochs.
    parameters, flops = cost_of_a_network()
    assert result['parameters'] == parameters
    assert result['train_flops'] == 2 * 9 * flops
    assert result['train_seconds'] > 0
    assert result['resumed'] is result['test_is_val'] is False
    assert set(result['versions']) == {
        'mmdckd',
        'torch',
        'mmengine',
        'mmpretrain',
        'mmrazor',
    }
    part, left = read_progress(run.progress_file)
    assert 0 < part <= 1 and left >= 0


def test_epochs_of_a_run_by_iterations_are_passes_over_the_data(tmp_path):
    run = plan_one(
        tmp_path,
        write_cohort(tmp_path / 'c.py', num_students=2, teacher=False),
        train_cfg=dict(_delete_=True, by_epoch=False, max_iters=6, val_interval=2),
        **{'train_dataloader.sampler': dict(type='InfiniteSampler', shuffle=True)},
    )
    result = work(run)
    # 24 images in batches of 8.
    assert result['curves']['epoch'] == pytest.approx([2 / 3, 4 / 3, 2], rel=1e-4)
    assert result['last']['epoch'] == 2
    top1 = result['curves']['best/accuracy/top1']
    assert result['best']['epoch'] == int(2 / 3 * (1 + top1.index(max(top1))))


@pytest.mark.parametrize('hook', ['EMAHook', 'mmdckd.WeightAverageHook'])
def test_the_last_epoch_is_tested_with_its_averages(hook, tmp_path):
    average = dict(type=hook, momentum=0.01)
    run = plan_one(
        tmp_path,
        write_cohort(tmp_path / 'c.py', num_students=2, teacher=False),
        **{'train_cfg.max_epochs': 3, 'custom_hooks': [average]},
    )
    result = work(run)
    cfg = Config.fromfile(run.config_file)
    cfg.custom_hooks = []
    cfg.load_from = f'{run.train_dir}/epoch_3.pth'
    cfg.work_dir = str(tmp_path / 'test')
    assert result['last']['test'] == pytest.approx(Runner.from_cfg(cfg).test())


@pytest.mark.parametrize('noted', [True, False])
def test_a_run_that_was_killed_before_its_test_is_resumed(tmp_path, noted):
    """No step is left, so none is counted."""
    run = plan_one(tmp_path, write_teacher(tmp_path / 't.py'))
    first = work(run)
    os.remove(run.result_file)
    if not noted:
        os.remove(os.path.join(run.train_dir, 'cost.json'))
    write_config(run.config_file, run.complete_config(resume=True))
    again = work(run)
    assert (again['last'], again['best']) == (first['last'], first['best'])
    assert again['resumed'] is True and again['train_seconds'] is None
    assert again['train_flops'] == (first['train_flops'] if noted else None)


def test_the_best_epoch_is_tested_with_its_own_weights(tmp_path):
    """The network learns for eight epochs and is ruined in the ninth."""
    schedule = [dict(type='ConstantLR', factor=1e-4, begin=0, end=8)]
    options = {
        'train_cfg.max_epochs': 9,
        'optim_wrapper.optimizer.lr': 1e3,
        'param_scheduler': schedule,
        'val_dataloader.dataset.split': 'train',
        'test_dataloader.dataset.split': 'train',
    }
    result = work(plan_one(tmp_path, write_teacher(tmp_path / 't.py'), **options))
    assert result['students'] == []
    assert result['test_is_val'] is True
    assert result['best']['epoch'] < result['last']['epoch'] == 9
    best, last = (result[stage]['val']['accuracy/top1'] for stage in ('best', 'last'))
    assert best > last + 10
    for stage in ('last', 'best'):
        assert result[stage]['test'] == result[stage]['val']


def test_without_validation_there_is_no_best_epoch(tmp_path):
    run = plan_one(
        tmp_path,
        write_teacher(tmp_path / 't.py'),
        val_cfg=None,
        val_dataloader=None,
        val_evaluator=None,
    )
    result = work(run)
    assert result['best'] is None
    assert result['last']['val'] == result['curves'] == {}
    assert list(result['last']['test']) == ['accuracy/top1']


def test_the_same_run_gives_the_same_result(tmp_path):
    run = plan_one(tmp_path, write_teacher(tmp_path / 't.py'))
    first = work(run)
    os.remove(run.result_file)
    second = work(run)
    for key in ('last', 'best', 'train_flops', 'parameters'):
        assert first[key] == second[key]


@pytest.mark.parametrize(
    'first, parts, steps',
    [
        ({'train_cfg.max_epochs': 1}, [(0, 0.25), (0.25, 0.75)], 3 + 9),
        # Its epochs are not known in advance.
        (
            {
                'train_cfg': dict(_delete_=True, by_epoch=False, max_iters=2),
                'default_hooks.checkpoint.by_epoch': False,
            },
            [(0, 0.5), (0.5, 0.5)],
            2 + 9,
        ),
    ],
)
def test_a_phase_has_a_share_of_the_progress_and_the_cost(
    tmp_path, monkeypatch, first, parts, steps
):
    told, hook = [], worker.ProgressFileHook

    def keep(path, before, share):
        told.append((before, share))
        return hook(path, before=before, share=share)

    monkeypatch.setattr(worker, 'ProgressFileHook', keep)
    phases = [first, {}]
    config = write_cohort(tmp_path / 'c.py', num_students=2, teacher=False)
    checks = dict(type='mmdckd.CheckLabelsHook', allow_missing=True)
    options = {'train_cfg.max_epochs': 3, 'phases': phases}
    options['default_hooks.check_labels'] = checks
    result = work(plan_one(tmp_path, config, **options))
    assert told == parts
    assert result['train_flops'] == 2 * steps * cost_of_a_network()[1]


def test_a_second_worker_waits_for_the_first_and_keeps_its_result(
    tmp_path, monkeypatch
):
    """Its job was submitted again, before or after the first one had started."""
    trained, ended = [], []
    monkeypatch.setattr(worker, 'run', lambda *_: trained.append('again'))
    config, result, lock = (str(tmp_path / name) for name in ('c.py', 'r', 'l'))
    arguments = [config, result, '--progress', 'progress.txt', '--lock', lock]
    thread = threading.Thread(target=lambda: ended.append(main(arguments)))
    with FileLock(lock):
        thread.start()
        with open(result, 'w') as file:
            file.write('{"first": 1}')
    thread.join(60)
    assert (trained, ended) == ([], [None])
    with open(result) as file:
        assert file.read() == '{"first": 1}'


def test_a_worker_ends_when_its_input_does(tmp_path):
    run = plan_one(
        tmp_path, write_teacher(tmp_path / 't.py'), **{'train_cfg.max_epochs': 100000}
    )
    process = subprocess.Popen(
        [
            warm.python(),
            '-m',
            'mmdckd.sweep.worker',
            run.config_file,
            run.result_file,
            '--progress',
            run.progress_file,
            '--lock',
            run.lock_file,
            '--end-with-stdin',
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    try:
        while not os.path.exists(run.progress_file):
            assert process.poll() is None
            time.sleep(0.1)
        process.stdin.close()
        assert process.wait(timeout=60) == 1
    finally:
        process.kill()
        process.wait()
    assert not os.path.exists(run.result_file)
