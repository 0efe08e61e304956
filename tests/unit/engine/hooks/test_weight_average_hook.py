# Copyright (c) mmdckd contributors. All rights reserved.
"""Averaged weights of cohorts and of single networks, and their BatchNorm
statistics."""

import copy
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import DATASETS
from torch.utils.data import DataLoader

from helpers.networks import network
from helpers.paths import ROOT
from helpers.resumed import assert_equal, config, final, interrupted, resumed
from helpers.runs import loader, run_config, shallow_cohort, top1, train
from mmdckd.engine.hooks import WeightAverageHook
from mmdckd.engine.norm_statistics import measure_statistics
from mmdckd.registry import HOOKS

FIRST = 'architecture.students.student0.'


class Remember(Hook):
    """Keeps the weights after every iteration."""

    priority = 'VERY_HIGH'

    def before_run(self, runner):
        self.weights = []

    def after_train_iter(self, runner, **kwargs):
        self.weights.append(
            {key: value.clone() for key, value in runner.model.named_parameters()}
        )


def cohort_config(work_dir, **kwargs):
    """A run of two students and a teacher."""
    return run_config(work_dir, shallow_cohort(), **kwargs)


def single(work_dir, **kwargs):
    """A run of one network of MMPretrain."""
    cfg = cohort_config(work_dir, **kwargs)
    cfg.model = network()
    cfg.val_cfg, cfg.test_cfg = dict(), dict()
    cfg.default_hooks.checkpoint.save_best = 'accuracy/top1'
    return cfg


def run(make, work_dir, **hook):
    """Of two epochs of four iterations."""
    hooks = [dict(type='mmdckd.WeightAverageHook', **hook)] if hook else []
    cfg = make(work_dir, custom_hooks=hooks)
    runner = Runner.from_cfg(cfg)
    remember = Remember()
    runner.register_hook(remember)
    runner.train()
    path = f'{runner.work_dir}/epoch_2.pth'
    return cfg, runner, remember.weights, torch.load(path, weights_only=True)


def written(weights, average, interval, begin, momentum=0.1, warmup=2):
    """The average of the weights after each iteration, one at a time."""
    mean, updates = weights[-1], 0
    for number, now in enumerate(weights, 1):
        if number <= begin or number % interval:
            continue
        if average == 'swa':
            share = 1 / (updates + 1)
        else:
            share = max(momentum, warmup / (warmup + updates))
        mean = (
            now
            if not updates
            else {key: (1 - share) * mean[key] + share * now[key] for key in now}
        )
        updates += 1
    return mean


@pytest.mark.parametrize(
    'hook, expected',
    [
        (dict(momentum=0.1, warmup=2), ('ema', 1, 0)),
        (dict(momentum=0.1, warmup=2, interval=3, begin_epoch=2), ('ema', 3, 4)),
        (dict(average='swa', begin_epoch=1), ('swa', 4, 0)),
        (dict(average='swa', interval=2, begin_iter=3), ('swa', 2, 2)),
        (dict(average='swa', interval=1), ('swa', 1, 5)),
    ],
)
def test_averages_of_a_cohort(hook, expected, tmp_path):
    _, _, weights, saved = run(cohort_config, tmp_path, **hook)
    averages = written(weights, *expected)
    assert len(weights) == 8
    for key, value in averages.items():
        torch.testing.assert_close(saved['state_dict'][key], value)
        torch.testing.assert_close(
            saved['ema_state_dict'][f'module.{key}'], weights[-1][key]
        )


def test_averages_of_one_network(tmp_path):
    _, _, weights, saved = run(single, tmp_path, average='swa', begin_epoch=1)
    for key, value in written(weights, 'swa', 4, 0).items():
        torch.testing.assert_close(saved['state_dict'][key], value)


def images():
    """All images of the training, as a batch."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(loader('train', indices=128)['dataset'])
    return torch.stack([dataset[i]['inputs'] for i in range(128)]).float()


@pytest.mark.parametrize('make', [cohort_config, single])
def test_statistics_are_those_of_the_averages(make, tmp_path):
    """Of the first layer, which sees the images: of four batches that all
    images make, the mean of the means is that of all."""
    cfg, _, _, saved = run(make, tmp_path, average='swa', begin_epoch=1)
    state = saved['state_dict']
    prefix = FIRST if make is cohort_config else ''
    mean = torch.tensor(cfg.data_preprocessor.mean).view(3, 1, 1)
    std = torch.tensor(cfg.data_preprocessor.std).view(3, 1, 1)
    inputs = (images().flip(1) - mean) / std
    features = torch.nn.functional.conv2d(
        inputs, state[f'{prefix}backbone.conv1.weight'], padding=1
    )
    # Of each channel; the order of the images is the hook's.
    norm = f'{prefix}backbone.bn1.'
    torch.testing.assert_close(state[f'{norm}running_mean'], features.mean((0, 2, 3)))
    of_all = features.var((0, 2, 3))
    torch.testing.assert_close(state[f'{norm}running_var'], of_all, rtol=0.05, atol=0)
    last = saved['ema_state_dict'][f'module.{norm}running_mean']
    assert not torch.allclose(last, state[f'{norm}running_mean'])
    assert state[f'{norm}num_batches_tracked'] == 4


class Batches(Hook):
    """Notes of how many batches the statistics are that members are evaluated with."""

    def __init__(self):
        self.found = []

    def before_val_iter(self, runner, **kwargs):
        norm = runner.model.cohort.students['student1'].backbone.bn1
        self.found.append(int(norm.num_batches_tracked))

    before_test_iter = before_val_iter


@pytest.mark.parametrize('validates', [True, False])
def test_statistics_are_of_whole_batches_of_so_many_images(validates, tmp_path):
    """In every validation, or in a test, also where no checkpoint was saved before."""
    hook = dict(type='mmdckd.WeightAverageHook', momentum=0.05, norm_images=80)
    cfg = cohort_config(tmp_path, custom_hooks=[hook])
    if not validates:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
        cfg.default_hooks.checkpoint = None
        cfg.train_cfg.max_epochs = 1
    runner = Runner.from_cfg(cfg)
    batches = Batches()
    runner.register_hook(batches, 'LOWEST')
    runner.train()
    if not validates:
        runner.test()
    # 80 images are two batches of 32, and one that is incomplete.
    assert batches.found == [2] * (4 if validates else 2)


class Norm(torch.nn.BatchNorm2d):
    """A network of one layer."""

    def forward(self, x, mode):
        return super().forward(x)


def test_each_network_is_measured_on_its_own_view():
    images = torch.randn(8, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    networks = [Norm(1), Norm(1)]
    measure_statistics(
        networks,
        lambda data, training: dict(inputs=[data, 2 + data]),
        DataLoader(list(images), batch_size=4),
        num_images=8,
        seed=0,
    )
    for network_, shift in zip(networks, (0, 2)):
        expected = images.mean().reshape(1) + shift
        torch.testing.assert_close(network_.running_mean, expected)


def test_what_is_validated_is_what_is_saved(tmp_path):
    cfg, runner, _, saved = run(cohort_config, tmp_path, momentum=0.05, norm_images=64)
    path = tmp_path / 'weights.pth'
    torch.save(saved['state_dict'], path)
    scalars = runner.message_hub.log_scalars
    for name in ('student0', 'student1'):
        assert scalars[f'val/{name}/accuracy/top1'].current() == pytest.approx(
            top1(path, name, cfg)
        )


def noisy(work_dir, **kwargs):
    cfg = cohort_config(work_dir, **kwargs)
    cfg.train_dataloader.dataset.pipeline = [
        dict(type='Resize', scale=12),
        dict(type='RandomCrop', crop_size=10, padding=1),
        dict(type='PackInputs'),
    ]
    return cfg


def test_training_goes_on_as_without_it(tmp_path):
    """Measuring draws no random numbers from those of the training."""
    *_, plain, without = run(noisy, tmp_path)
    *_, averaged, saved = run(noisy, tmp_path, average='swa', begin_epoch=1)
    assert_equal(averaged, plain)
    current = {
        key[len('module.') :]: value
        for key, value in saved['ema_state_dict'].items()
        if key != 'steps'
    }
    assert_equal(current, dict(without['state_dict']))


def test_without_measuring_the_statistics_are_the_last(tmp_path):
    *_, saved = run(cohort_config, tmp_path, momentum=0.05, norm_images=0)
    key = f'{FIRST}backbone.bn1.running_mean'
    assert torch.equal(
        saved['state_dict'][key], saved['ema_state_dict'][f'module.{key}']
    )


def test_networks_without_statistics_and_layers_in_eval_mode(tmp_path):
    """Nothing is measured of a layer that training keeps in `eval` mode."""
    cohort = shallow_cohort()
    cohort['architecture']['backbone'] = dict(
        cohort['architecture']['backbone'], norm_eval=True
    )

    def make(work_dir, **kwargs):
        return run_config(work_dir, copy.deepcopy(cohort), **kwargs)

    *_, saved = run(make, tmp_path, momentum=0.05)
    norm = f'{FIRST}backbone.bn1.running_mean'
    assert not saved['state_dict'][norm].any()


@pytest.mark.parametrize(
    'hook, iteration, by_epoch',
    [
        (dict(average='swa', begin_iter=1, interval=2), 7, True),
        pytest.param(
            dict(momentum=0.2, norm_images=50), 10, False, marks=pytest.mark.slow
        ),
    ],
)
def test_a_resumed_run_is_the_run_that_never_stopped(
    hook, iteration, by_epoch, tmp_path
):
    runs = []
    for name in ('whole', 'stopped'):
        cfg = config(tmp_path / name, by_epoch)
        cfg.custom_hooks[-1] = dict(type='mmdckd.WeightAverageHook', **hook)
        runs.append(cfg)
    train(runs[0])
    interrupted(runs[1], 'iter', iteration)
    resumed(runs[1])
    assert_equal(final(runs[1].work_dir), final(runs[0].work_dir))


@pytest.mark.parametrize('average', ['ema', 'swa'])
def test_configs(average):
    root = ROOT
    cfg = Config.fromfile(root / 'configs' / '_base_' / f'{average}.py')
    (hook,) = cfg.custom_hooks
    assert HOOKS.build(hook).average == average


@pytest.mark.parametrize(
    'settings, message',
    [
        (dict(average='mean'), "`average`: expected one of .*'ema', 'swa'"),
        (dict(momentum=0.0), '`momentum`'),
        (dict(momentum=1.0), '`momentum`'),
        (dict(warmup=0), '`warmup`: expected a whole number of at least 1'),
        (dict(interval=0), '`interval`'),
        (dict(norm_images=-1), '`norm_images`'),
        (dict(norm_images=True), '`norm_images`: .* got True'),
        (dict(begin_epoch=0), '`begin_epoch`'),
        (dict(begin_iter=True), '`begin_iter`: .* got True'),
        (dict(begin_epoch=1, begin_iter=5), '`begin_iter`: expected None'),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        WeightAverageHook(**settings)


@pytest.mark.parametrize('settings', [dict(begin_epoch=3), dict(begin_iter=9)])
def test_averaging_begins_before_the_end(settings, tmp_path):
    with pytest.raises(ValueError, match='expected at most [28], the end'):
        run(cohort_config, tmp_path, **settings)


@pytest.mark.parametrize('make', [cohort_config, single])
@pytest.mark.parametrize('hook', [dict(momentum=0.01), dict(average='swa')])
def test_a_test_after_training_uses_the_averages(make, hook, tmp_path):
    cfg, runner, _, _ = run(make, tmp_path / 'run', **hook)
    metrics = runner.test()
    apart = copy.deepcopy(cfg)
    apart.custom_hooks = []
    apart.load_from = f'{runner.work_dir}/epoch_2.pth'
    apart.work_dir = str(tmp_path / 'test')
    assert metrics == pytest.approx(Runner.from_cfg(apart).test())


@pytest.mark.parametrize(
    'settings, start', [(dict(interval=9), 1), (dict(interval=5, begin_epoch=2), None)]
)
def test_an_interval_without_an_average_is_refused(settings, start, tmp_path):
    hook = WeightAverageHook(**settings)
    loop = SimpleNamespace(dataloader=range(4))
    runner = SimpleNamespace(max_iters=8, max_epochs=2, train_loop=loop)
    if start is None:  # iteration 5 is the first of the second epoch
        hook._check_interval(runner)
        return
    with pytest.raises(ValueError, match=f'`interval`: .* between {start}, .* got 9'):
        hook.before_train(runner)


def test_averages_at_epochs_that_end_before_averaging_starts_are_refused():
    """In a run by iterations, epochs need not end with it."""
    hook = WeightAverageHook(average='swa')
    loop = SimpleNamespace(dataloader=range(60))
    runner = SimpleNamespace(max_iters=100, max_epochs=1, train_loop=loop)
    with pytest.raises(ValueError, match='`interval`: .* between 75, .* got 60'):
        hook.before_train(runner)


@pytest.mark.parametrize('begin', [dict(), dict(begin_epoch=4)])
def test_averages_start_anew_if_they_start_later(begin, tmp_path):
    def longer(folder, epochs, **begin):
        hook = dict(
            type='mmdckd.WeightAverageHook', average='swa', norm_images=0, **begin
        )
        return cohort_config(
            folder,
            train_dataloader=loader('train', indices=64),
            val_cfg=None,
            val_dataloader=None,
            val_evaluator=None,
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            custom_hooks=[dict(type='mmdckd.ExactResumeHook'), hook],
            default_hooks=dict(
                checkpoint=dict(type='mmdckd.CohortCheckpointHook', interval=1)
            ),
        )

    whole = longer(tmp_path, 4, **begin)
    train(whole)
    cfg = longer(tmp_path, 2)
    cfg.custom_hooks[1].begin_epoch = 1
    train(cfg)
    again = longer(tmp_path, 4, **begin)
    again.work_dir, again.resume = cfg.work_dir, True
    train(again)
    for epoch in (3, 4):
        found, expected = (
            torch.load(f'{each.work_dir}/epoch_{epoch}.pth', weights_only=True)
            for each in (again, whole)
        )
        for part in ('state_dict', 'ema_state_dict'):
            assert_equal(found[part], expected[part])
