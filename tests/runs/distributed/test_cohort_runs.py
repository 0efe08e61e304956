# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs whose students are in different processes are those of one process."""

import re

import pytest
import torch

from helpers.networks import distil, network, shallow
from helpers.processes import run_processes
from helpers.resumed import assert_equal, final
from helpers.spread import CONNECTED, assert_close, config, load, run
from mmdckd.cli import report


def small(work_dir, **kwargs):
    """The run of networks of two stages."""
    cfg = config(work_dir, **kwargs)
    cfg.model.architecture = shallow()
    cfg.model.architecture.backbone.norm_cfg = dict(type='GN', num_groups=2)
    cfg.model.teacher = shallow(width=6)
    return cfg


def alternate(rank, number, stopped, cohort):
    """A run in one go, and one that is stopped and resumed."""
    result = run(rank, number, cohort)
    run(rank, number, stopped, stop=5)
    run(rank, number, stopped, resume=True)
    return result


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Runs in one and in two processes; both are stopped and resumed, too."""
    folder = tmp_path_factory.mktemp('runs')
    one = run(0, 1, small(folder / 'one'))
    two = run_processes(alternate, 2, small(folder / 'stopped'), small(folder / 'two'))
    return folder, one, two


def test_a_run_in_two_processes_is_that_of_one(folder):
    folder, one, (first, second) = folder
    assert first['logged'] == second['logged']
    assert first['best'] == second['best'] == one['best']
    assert list(first['logged']) == list(one['logged'])
    for name, value in one['logged'].items():
        assert first['logged'][name] == pytest.approx(value, abs=1e-5), name
    assert_close(load(folder / 'one'), load(folder / 'two'))
    # One of two students each.
    assert one['held'] / 2 <= first['held'] < one['held'] * 0.51
    exported = {path.name for path in (folder / 'two' / 'exported').iterdir()}
    assert exported == {path.name for path in (folder / 'one' / 'exported').iterdir()}
    assert len(list(folder.glob('two/*/*.log'))) == 1


@pytest.mark.slow
def test_a_report_is_that_of_one_process(folder, tmp_path):
    folder, *_ = folder
    tables = []
    for name in ('one', 'two'):
        out = tmp_path / name
        report.main([str(folder / name), '--names', 'run', '--out', str(out)])
        figures = {path.name for path in (out / 'figures').iterdir()}
        text = (out / 'report.html').read_text()
        rows = re.findall('<tr>(.*?)</tr>', text, re.DOTALL)
        rows = [row for row in rows if not re.search(r'median \(s\)|images/s', row)]
        tables.append((figures, rows))
    assert tables[0] == tables[1]
    assert tables[0][0] and 'student1' in ''.join(tables[0][1])


def test_a_stopped_run_resumes_to_the_bit(folder):
    folder, *_ = folder
    assert_equal(final(folder / 'stopped'), final(folder / 'two'))


@pytest.mark.slow
def test_one_process_resumes_what_two_began_and_the_other_way_round(folder, tmp_path):
    folder, *_ = folder
    run_processes(run, 2, small(tmp_path / 'two'), 5)
    run(0, 1, small(tmp_path / 'two'), resume=True)
    run(0, 1, small(tmp_path / 'one'), stop=5)
    run_processes(run, 2, small(tmp_path / 'one'), None, True)
    for name in ('one', 'two'):
        assert_close(load(folder / 'one'), load(tmp_path / name))


def by_iterations(work_dir):
    """BatchNorm and its averages, random images, features and connectors, by
    iterations. One process for each of two students has whole batches, so
    statistics are those of one process. Both start from a checkpoint: the loop
    draws random numbers before the weights are initialized."""
    cfg = config(work_dir, load_from=str(work_dir.parent / 'start.pth'))
    cfg.model.architecture, cfg.model.distiller = network(), CONNECTED
    cfg.train_cfg = dict(by_epoch=False, max_iters=8, val_interval=4)
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    cfg.train_dataloader.dataset.pipeline = [
        dict(type='Resize', scale=12),
        dict(type='RandomCrop', crop_size=10, padding=1),
        dict(type='mmdckd.Noise'),
        dict(type='PackInputs'),
    ]
    cfg.data_preprocessor.batch_augments = dict(
        augments=[dict(type='Mixup', alpha=1.0)]
    )
    cfg.custom_hooks = [
        dict(type='mmdckd.WeightAverageHook', momentum=0.2, norm_images=64),
        dict(type='mmdckd.CohortStatisticsHook'),
    ]
    # Where gradients are tiny, AdamW steps by their sign.
    cfg.optim_wrapper.optimizer = dict(type='SGD', lr=0.01, momentum=0.9)
    work_dir.parent.mkdir(exist_ok=True)
    start = distil(architecture=network(), distiller=CONNECTED).state_dict()
    torch.save(dict(state_dict=start), cfg.load_from)
    return cfg


def mixed_precision(work_dir):
    """Four different students in bfloat16, two in each process."""
    cfg = config(work_dir)
    del cfg.model['architecture'], cfg.model['num_students']
    cfg.model.students = {f's{width}': network(width=width) for width in (2, 3, 4, 5)}
    cfg.optim_wrapper = dict(
        type='mmdckd.CPUAmpOptimWrapper',
        dtype='bfloat16',
        loss_scale=dict(enabled=False),
        optimizer=dict(type='SGD', lr=0.01, momentum=0.9),
    )
    return cfg


def several(rank, number, cfgs):
    return [run(rank, number, cfg) for cfg in cfgs]


@pytest.mark.slow
def test_averages_random_images_connectors_and_mixed_precision(tmp_path):
    makers = (by_iterations, mixed_precision)
    alone = several(0, 1, [make(tmp_path / make.__name__ / '1') for make in makers])
    cfgs = [make(tmp_path / make.__name__ / '2') for make in makers]
    first, _ = run_processes(several, 2, cfgs)
    for make, one, two, tolerance in zip(makers, alone, first, (1e-5, 2e-2)):
        assert list(one['logged']) == list(two['logged'])
        for name, value in one['logged'].items():
            if name.startswith('train/'):
                assert two['logged'][name] == pytest.approx(value, abs=tolerance), name
        a, b = (load(tmp_path / make.__name__ / number) for number in '12')
        if make is by_iterations:
            # The averages' statistics are measured on batches of half the size.
            for weights in (a['state_dict'], b['state_dict']):
                for name in [*weights]:
                    if not name.endswith(('.weight', '.bias')):
                        assert weights.pop(name).isfinite().all()
        assert_close(a, b, tolerance)


@pytest.mark.slow
def test_two_processes_for_each_student(folder, tmp_path):
    folder, one, _ = folder
    results = run_processes(run, 4, small(tmp_path), number=4)
    assert_close(load(folder / 'one'), load(tmp_path))
    for name, value in one['logged'].items():
        if name.startswith(('val/', 'train/grad_norm')):
            for result in results:
                assert result['logged'][name] == pytest.approx(value, abs=1e-5), name
    # Each process logs the losses of its half of the images.
    halves = {result['logged']['train/loss'] for result in results}
    assert len(halves) == 2
    assert sum(halves) / 2 == pytest.approx(one['logged']['train/loss'], abs=1e-5)


REFUSED = {
    'compile': dict(compile=True),
    'sync_bn': dict(sync_bn='torch'),
    'randomness.diff_rank_seed': dict(randomness=dict(seed=1, diff_rank_seed=True)),
    'default_hooks.exact_resume': dict(default_hooks=dict(exact_resume=None)),
    'default_hooks.checkpoint.type': dict(
        default_hooks=dict(checkpoint=dict(type='CheckpointHook'))
    ),
    'val_cfg.type': dict(val_cfg=dict(type='ValLoop')),
    'val_dataloader.sampler': dict(
        val_dataloader=dict(sampler=dict(round_up=False, shuffle=False))
    ),
    'train_dataloader.sampler': dict(
        train_dataloader=dict(sampler=dict(round_up=False))
    ),
    'runner_type': dict(runner_type='FlexibleRunner'),
    'model_wrapper_cfg.type': dict(
        model_wrapper_cfg=dict(type='MMFullyShardedDataParallel')
    ),
}


def refusals(rank, cfgs):
    errors = {}
    for key, cfg in cfgs.items():
        try:
            run(rank, 2, cfg)
        except ValueError as error:
            errors[key] = str(error)
    return errors


def test_settings_that_need_all_students_are_refused(tmp_path):
    cfgs = {}
    for key, changes in REFUSED.items():
        cfgs[key] = small(tmp_path / key, **changes)
        cfgs[key].experiment_name = key
    first, second = run_processes(refusals, cfgs)
    assert first == second
    assert list(first) == list(REFUSED)
    for key, error in first.items():
        assert error.startswith(f'Invalid `{key}`: expected '), error
        assert 'cohort' in error
