# Copyright (c) mmdckd contributors. All rights reserved.
import copy

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner

from helpers.resumed import assert_equal, final, interrupted, resumed
from helpers.runs import loader, run_config, shallow_cohort, train
from mmdckd.datasets import Digits
from mmdckd.datasets.folds import Folds

DISTILLER = dict(
    type='mmdckd.CollectiveDistiller',
    collective_losses=dict(
        loss_dckd=dict(type='mmdckd.DCKDLoss', collector='held_out')
    ),
)


def config(tmp_path, folds=None, workers=0, **kwargs):
    folds = folds or dict(graduate='student2')
    cohort = shallow_cohort(3, distiller=DISTILLER, folds=folds)
    cfg = run_config(tmp_path, cohort, **kwargs)
    if 'train_dataloader' not in kwargs:
        cfg.train_dataloader = loader('train', indices=108)
    cfg.train_dataloader.num_workers = workers
    cfg.default_hooks.folds = dict(type='mmdckd.FoldsHook')
    cfg.default_hooks.exact_resume = dict(type='mmdckd.ExactResumeHook')
    cfg.default_hooks.checkpoint.update(interval=1, save_last=True)
    return cfg


class Batches(Hook):
    """Notes the folds of every batch, and which images it has."""

    def __init__(self):
        self.folds, self.images = [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        samples = data_batch['data_samples']
        self.folds.append([each.get('fold') for each in samples])
        self.images.append([each.get('sample_idx') for each in samples])


def test_a_run_with_folds(tmp_path):
    cfg = config(tmp_path)
    runner = Runner.from_cfg(cfg)
    seen = Batches()
    runner.register_hook(seen)
    runner.train()
    digits = Digits(indices=108)
    expected = Folds.of(digits, 2, 0)
    for folds, images in zip(seen.folds, seen.images):
        assert folds == expected.folds[images].tolist()
        assert folds.count(0) == folds.count(1)
    assert [len(folds) for folds in seen.folds] == [32, 32, 32, 12] * 2
    # An epoch has nearly all images, and another order than the one before.
    first, second = seen.images[:4], seen.images[4:]
    assert first != second and len(set(sum(first, []))) >= 104
    saved = Folds.load(f'{cfg.work_dir}/folds.npz')
    checkpoint = torch.load(f'{cfg.work_dir}/epoch_2.pth', weights_only=True)
    assert saved.digest == expected.digest == checkpoint['meta']['folds']
    assert checkpoint['message_hub']['runtime_info']['best_student'] == 'student2'


@pytest.mark.slow
@pytest.mark.parametrize(
    'by_epoch, iteration', [(True, 5), pytest.param(False, 6, marks=pytest.mark.slow)]
)
def test_a_run_resumes_to_the_bit(tmp_path, by_epoch, iteration):
    def make(name):
        cfg = config(tmp_path / name)
        if not by_epoch:
            cfg.train_cfg = dict(by_epoch=False, max_iters=8, val_interval=4)
        cfg.default_hooks.checkpoint.update(
            by_epoch=False, interval=3, max_keep_ckpts=2
        )
        return cfg

    whole = make('whole')
    train(whole)
    parts = make('parts')
    interrupted(parts, 'iter', iteration)
    resumed(parts)
    assert_equal(final(whole.work_dir), final(parts.work_dir))


@pytest.mark.slow
def test_workers_make_no_difference(tmp_path):
    states = []
    for workers in (0, 2):
        cfg = config(tmp_path, workers=workers)
        states.append(train(cfg).model.state_dict())
    assert_equal(dict(states[0]), dict(states[1]))


def test_wrappers_and_images_without_labels(tmp_path):
    """A batch has the same number of each fold, and images of none beside."""
    labeled = loader('train', indices=64)['dataset']
    balanced = dict(type='ClassBalancedDataset', oversample_thr=1e-3, dataset=labeled)
    unlabeled = dict(copy.deepcopy(labeled), split='test', indices=40)
    data = dict(
        loader('train'),
        batch_size=16,
        dataset=dict(
            type='mmdckd.WithUnlabeled', dataset=balanced, unlabeled=unlabeled
        ),
        batch_sampler=dict(
            type='mmdckd.MixedBatchSampler', unlabeled_share=0.5, drop_last=True
        ),
    )
    cfg = config(tmp_path, train_dataloader=data)
    cfg.train_cfg.max_epochs = 1
    runner = Runner.from_cfg(cfg)
    seen = Batches()
    runner.register_hook(seen)
    runner.train()
    assert len(seen.folds) == 8
    for folds in seen.folds:
        assert [folds.count(fold) for fold in (0, 1, -1)] == [4, 4, 8]


def resumed_config(tmp_path, **changes):
    cfg = config(tmp_path)
    cfg.train_cfg.max_epochs = 1
    train(cfg)
    cfg = copy.deepcopy(cfg)
    cfg.experiment_name += '_again'
    cfg.resume = True
    cfg.train_cfg.max_epochs = 2
    cfg.merge_from_dict(changes)
    return cfg


@pytest.mark.parametrize(
    'change', [{'train_dataloader.dataset.indices': 107}, {'model.folds.seed': 1}]
)
def test_a_run_does_not_resume_with_other_folds(tmp_path, change):
    with pytest.raises(
        ValueError, match='expected the folds of the resumed run.* checkpoint'
    ):
        train(resumed_config(tmp_path, **change))


def test_a_file_of_other_data_is_refused(tmp_path):
    cfg = resumed_config(tmp_path)
    Folds.of(Digits(indices=99), 2, 0).save(f'{cfg.work_dir}/folds.npz')
    with pytest.raises(
        ValueError, match='expected the folds of the resumed run.*folds.npz'
    ):
        train(cfg)


def test_a_run_without_folds_does_not_resume_with_them(tmp_path):
    cfg = config(tmp_path)
    cfg.model.folds = None
    cfg.model.distiller.collective_losses.loss_dckd.collector = 'logit_mean'
    cfg.train_cfg.max_epochs = 1
    train(cfg)
    checkpoint = torch.load(f'{cfg.work_dir}/epoch_1.pth', weights_only=True)
    assert 'folds' not in checkpoint['meta']
    again = config(tmp_path, resume=True, load_from=f'{cfg.work_dir}/epoch_1.pth')
    with pytest.raises(ValueError, match='no folds in the checkpoint'):
        train(again)


@pytest.mark.parametrize(
    'change, message',
    [
        (
            {'train_dataloader.dataset.indices': 9},
            '`model.folds`: Invalid `num_folds`: expected at most 1, .* got 2',
        ),
        ({'train_dataloader.batch_size': 31}, '`train_dataloader.batch_size`: .* of 2'),
        (
            {'train_dataloader.dataset.indices': 98},
            'drop_last`: expected True, because the last batch has 2 images, .* sees 1',
        ),
        (
            {'train_dataloader.dataset.indices': 99},
            'drop_last`: expected True, because the last batch has 3 images, .* sees 1',
        ),
        (
            {'train_dataloader.sampler.type': 'InfiniteSampler'},
            'expected a DefaultSampler .* got a InfiniteSampler',
        ),
        (
            {'val_dataloader.dataset.split': 'train'},
            'expected no image that is in a fold .* got 40 of 40, .* image 0',
        ),
        (
            {'default_hooks.folds.type': 'mmdckd.DataTimeHook'},
            'Invalid batch: expected the `fold`',
        ),
    ],
)
def test_runs_that_are_refused_before_the_first_step(tmp_path, change, message):
    cfg = config(tmp_path)
    cfg.merge_from_dict(change)
    before = {}

    class Remember(Hook):
        def before_train(self, runner):
            before.update(copy.deepcopy(runner.model.state_dict()))

    runner = Runner.from_cfg(cfg)
    runner.register_hook(Remember(), 'VERY_HIGH')
    with pytest.raises(ValueError, match=message):
        runner.train()
    assert_equal(before, dict(runner.model.state_dict()))


def test_images_whose_labels_a_wrapper_hides_are_refused(tmp_path):
    labeled = loader('train', indices=64)['dataset']
    hidden = dict(type='mmdckd.Unlabeled', dataset=dict(labeled, split='test'))
    data = loader('train')
    data['dataset'] = dict(type='ConcatDataset', datasets=[labeled, hidden])
    folds = Folds.of(Runner.build_dataloader(data).dataset, 2, 0)
    assert np.sum(folds.folds == -1) == 64
    cfg = config(tmp_path, train_dataloader=data)
    with pytest.raises(ValueError, match='a label for every image .* got 64 without'):
        train(cfg)


def test_a_cohort_without_folds_is_left_alone(tmp_path):
    """Bit for bit, and without a file."""
    states = []
    for hook in (None, dict(type='mmdckd.FoldsHook')):
        cfg = run_config(tmp_path)
        cfg.train_cfg.max_epochs = 1
        if hook:
            cfg.default_hooks.folds = hook
        states.append(train(cfg).model.state_dict())
        assert not (tmp_path / cfg.experiment_name / 'folds.npz').exists()
    assert_equal(dict(states[0]), dict(states[1]))
