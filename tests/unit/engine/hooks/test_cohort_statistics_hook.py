# Copyright (c) mmdckd contributors. All rights reserved.
"""What real runs record, held against what their members predict."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler
from mmengine.registry import DATA_SAMPLERS
from mmengine.runner import Runner
from PIL import Image

from helpers.networks import shallow
from helpers.runs import loader, run_config, shallow_cohort, train
from helpers.speed import rough_figures
from mmdckd.datasets import Digits
from mmdckd.engine import own_samples
from mmdckd.engine.hooks import cohort_statistics_hook
from mmdckd.evaluation import cohort_sums, prediction_sums, split_files
from mmdckd.models.collectors import build_collector
from mmdckd.registry import DATASETS
from mmdckd.report.recorded_run import read_run
from mmdckd.report.report import write_report

TAU = 4.0


@DATA_SAMPLERS.register_module(force=True)
class ShuffledAnew(DefaultSampler):
    """Gives another order each time."""

    def __iter__(self):
        self.epoch += 1
        return super().__iter__()


@DATASETS.register_module(force=True)
class DigitsOfPaths(Digits):
    """Names its images by paths that are no strings."""

    def load_data_list(self):
        images = super().load_data_list()
        return [
            dict(image, img_path=Path(f'{i}.png')) for i, image in enumerate(images)
        ]


def with_hook(folder, cohort=None, hook=None, **kwargs):
    kwargs.setdefault('val_dataloader', loader('val', indices=100))
    return run_config(
        folder,
        cohort or shallow_cohort(),
        custom_hooks=[dict(type='mmdckd.CohortStatisticsHook', **(hook or {}))],
        **kwargs,
    )


def vis_data(runner):
    return Path(runner.work_dir) / runner.timestamp / 'vis_data'


def validations(runner):
    """What was logged of the validations, in order."""
    lines = (vis_data(runner) / 'scalars.json').read_text().splitlines()
    return [r for r in map(json.loads, lines) if 'iter' not in r]


@torch.no_grad()
def predictions(runner):
    """The probabilities of all members, network by network, and labels."""
    model = runner.model.eval()
    scores, labels = {}, []
    for batch in runner.val_dataloader:
        data = model.data_preprocessor(batch, False)
        labels += [int(s.gt_label) for s in data['data_samples']]
        networks = dict(model.cohort.items())
        networks.update(
            (name, holder.model)
            for name, holder in zip(model.teacher_names, model.teachers)
        )
        for name, each in networks.items():
            scores.setdefault(name, []).append(
                each(data['inputs'], mode='tensor').double().softmax(-1)
            )
    scores = {name: torch.cat(parts) for name, parts in scores.items()}
    students = [scores[name] for name in model.cohort.names]
    scores['ensemble'] = sum(students) / len(students)
    return scores, torch.tensor(labels)


@pytest.fixture(scope='module')
def run(tmp_path_factory):
    return train(with_hook(tmp_path_factory.mktemp('hook')))


@pytest.fixture(scope='module')
def arrays(run):
    with np.load(vis_data(run) / 'cohort_statistics.npz') as file:
        return dict(file)


def test_scalars_are_those_of_the_last_networks(run):
    scores, labels = predictions(run)
    last = validations(run)[-1]
    assert last['step'] == 2
    teacher = scores['teacher'].argmax(1)
    for name, each in scores.items():
        nll = -each[range(100), labels].log().mean()
        assert last[f'{name}/nll'] == pytest.approx(float(nll), rel=1e-4)
        entropy = torch.special.entr(each).sum(1).mean()
        assert last[f'{name}/entropy'] == pytest.approx(float(entropy), rel=1e-4)
        if name != 'teacher':
            same = (each.argmax(1) == teacher)[teacher != labels]
            assert last[f'{name}/agreement_wrong'] == pytest.approx(
                float(same.double().mean())
            )
    one, other = (scores[name].argmax(1) for name in ('student0', 'student1'))
    assert last['cohort/agreement'] == pytest.approx(
        float((one == other).double().mean())
    )


def test_every_validation_is_recorded_with_its_metrics(run):
    first, last = validations(run)
    assert first.keys() == last.keys()
    assert 'best/accuracy/top1' in first
    assert first['student0/nll'] != last['student0/nll']
    # It is asked once, and known ever after.
    assert first['teacher/nll'] == last['teacher/nll']


def test_matrices_are_those_of_the_last_networks(run, arrays):
    scores, labels = predictions(run)
    assert list(arrays['members']) == [
        'student0',
        'student1',
        'ensemble',
        'teacher',
        'target',
    ]
    assert list(arrays['classes']) == list('0123456789')
    assert (arrays['step'], arrays['tau']) == (2, TAU)
    for i, name in enumerate(arrays['members'][:4]):
        top = scores[name].argmax(1)
        assert np.trace(arrays['confusion'][i]) == (top == labels).sum()
        soft = (scores[name].log() / TAU).softmax(1)
        for label in range(10):
            np.testing.assert_allclose(
                arrays['correlation'][i, label],
                soft[labels == label].mean(0),
                rtol=1e-3,
            )


def test_the_target_is_what_the_collector_makes(run, arrays):
    scores, labels = predictions(run)
    soft = torch.stack(
        [(scores[f'student{i}'].log() / TAU).log_softmax(1) for i in range(2)]
    )
    targets = build_collector('logit_mean')(None, soft, tau=TAU)
    for label in range(10):
        np.testing.assert_allclose(
            arrays['correlation'][4, label],
            targets[:, labels == label].mean((0, 1)),
            rtol=1e-3,
        )
    assert validations(run)[-1]['target/soft_entropy'] == pytest.approx(
        float(torch.special.entr(targets).sum(-1).mean()), rel=1e-4
    )


def test_correlations_are_drawn_after_the_last_validation(run):
    (image,) = (vis_data(run) / 'vis_image').glob('class_correlation_*.png')
    assert image.name == 'class_correlation_2.png'
    assert len(np.unique(np.asarray(Image.open(image)))) > 50


def test_training_is_not_changed(run, tmp_path):
    cfg = with_hook(tmp_path)
    cfg.custom_hooks = []
    for key, value in train(cfg).model.state_dict().items():
        assert torch.equal(value, run.model.state_dict()[key]), key


@pytest.mark.slow
def test_a_resumed_run_asks_the_teacher_again(run, tmp_path):
    cfg = with_hook(tmp_path)
    cfg.default_hooks.checkpoint.interval = 1
    half = train(cfg)
    cfg = with_hook(
        tmp_path, load_from=str(Path(half.work_dir) / 'epoch_1.pth'), resume=True
    )
    (last,) = validations(train(cfg))
    for key, value in validations(half)[-1].items():
        assert 'time' in key or last[key] == pytest.approx(value), key


def test_a_network_alone_has_scalars_without_a_prefix(tmp_path):
    cfg = with_hook(tmp_path, val_cfg=dict(), default_hooks=dict())
    cfg.model = shallow()
    runner = train(cfg)
    last = validations(runner)[-1]
    assert 0 < last['entropy'] < np.log(10)
    assert not any(key.startswith('model') for key in last)
    with np.load(vis_data(runner) / 'cohort_statistics.npz') as arrays:
        assert list(arrays['members']) == ['model']


def test_a_run_by_iterations(tmp_path):
    by_iter = dict(
        train_cfg=dict(by_epoch=False, max_iters=3, val_interval=1),
        log_processor=dict(by_epoch=False),
    )
    runner = train(with_hook(tmp_path, hook=dict(image_interval=2), **by_iter))
    drawn = sorted((vis_data(runner) / 'vis_image').iterdir())
    assert [path.name for path in drawn] == [
        'class_correlation_2.png',
        'class_correlation_3.png',
    ]


def test_a_run_that_only_validates(tmp_path):
    runner = Runner.from_cfg(with_hook(tmp_path, default_hooks=dict(checkpoint=None)))
    runner.val()
    (recorded,) = validations(runner)
    assert (recorded['step'], recorded['student0/nll'] > 0) == (0, True)


def test_the_paths_of_images_may_be_of_any_type(tmp_path):
    paths = loader('val', indices=3)
    paths['dataset']['type'] = 'mmdckd.DigitsOfPaths'
    runner = Runner.from_cfg(with_hook(tmp_path, val_dataloader=paths))
    runner.val()
    with np.load(vis_data(runner) / 'cohort_statistics.npz') as arrays:
        assert split_files(arrays['files']) == ['0.png', '1.png', '2.png']


def test_images_in_another_order_are_refused(tmp_path):
    shuffled = loader('val', indices=100)
    shuffled['sampler'] = dict(type='ShuffledAnew')
    with pytest.raises(ValueError, match='sampler.shuffle=False'):
        train(with_hook(tmp_path, val_dataloader=shuffled))


def test_images_that_a_sampler_repeats_do_not_count(tmp_path, monkeypatch):
    # The last of eight processes that share 100 images: 12 are its own.
    monkeypatch.setattr(own_samples, 'get_dist_info', lambda: (7, 8))
    runner = train(with_hook(tmp_path))
    with np.load(vis_data(runner) / 'cohort_statistics.npz') as arrays:
        assert (arrays['confusion'].sum((1, 2)) == 12).all()


def test_of_many_classes_only_what_fits_is_recorded(tmp_path, monkeypatch):
    """The digits' ten classes and 100 images stand for too many."""
    for module in (prediction_sums, cohort_sums, cohort_statistics_hook):
        monkeypatch.setattr(module, 'MOST_CLASSES', 9)
    monkeypatch.setattr(cohort_statistics_hook, '_MOST_SCORES', 999)
    runner = train(
        with_hook(tmp_path, train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=1))
    )
    with np.load(vis_data(runner) / 'cohort_statistics.npz') as file:
        assert {'correlation', 'confusion'} & {*file} == set()
        assert 'teacher' not in file['members']
        assert len(file['classes']) == 10
    last = validations(runner)[-1]
    assert last['student0/soft_entropy'] > 0
    assert 'student0/agreement_right' not in last
    log = next(Path(runner.work_dir).glob('*/*.log')).read_text()
    assert log.count('no class correlations and confusions: 10 classes') == 1
    assert log.count('leaves the teacher out') == 1
    out = tmp_path / 'report'
    with rough_figures():
        write_report([read_run(runner.work_dir)], str(out))
    assert (out / 'report.html').exists()


@pytest.mark.parametrize('interval', [0, -1, 2.5, True])
def test_an_interval_of_no_epochs_is_refused(interval):
    with pytest.raises(ValueError, match='image_interval`: expected a positive'):
        cohort_statistics_hook.CohortStatisticsHook(interval)
