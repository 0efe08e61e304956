# Copyright (c) mmdckd contributors. All rights reserved.
"""The statistics of targets, against those of logits that are kept here."""

import os.path as osp

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from scipy.special import log_softmax, softmax

from helpers.networks import network
from helpers.runs import PREPROCESSOR, loader, run_config, train
from mmdckd.engine.runner.phases import train_phases
from mmdckd.registry import MODELS
from studies.evidence.targets import row_of, targets_of

LOSS = 'model.distiller.collective_losses.loss_dckd'


def saved(folder, cfg):
    """Train as a sweep does: the config is in the folder, the work below it."""
    folder.mkdir()
    cfg.work_dir = str(folder / 'train')
    cfg.dump(folder / 'config.py')
    (train_phases if cfg.get('phases') else train)(cfg)
    return str(folder)


@pytest.fixture(scope='module', params=['held_out', 'logit_mean'])
def folders(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp('targets')
    alone = run_config(folder, dict(architecture=network(), num_students=1))
    alone.model = dict(alone.model.architecture)
    alone.val_cfg, alone.test_cfg = {}, {}
    alone.default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=1))
    folds = {'model.folds': dict(num_folds=2)} if request.param == 'held_out' else {}
    cohort = run_config(
        folder,
        dict(architecture=network(), num_students=1),
        phases=[
            {'model.num_students': 2, f'{LOSS}.beta': 0.0, **folds},
            {
                'model.finished_peers': 'phase0',
                f'{LOSS}.collector': request.param,
                'train_cfg.max_epochs': 1,
                **folds,
            },
        ],
    )
    cohort.merge_from_dict({f'{LOSS}.gamma': 0.0})
    cohort.default_hooks.folds = dict(type='mmdckd.FoldsHook')
    return saved(folder / 'run', cohort), saved(folder / 'alone', alone)


def loaded(path, start):
    weights = torch.load(path, weights_only=False)['state_dict']
    model = MODELS.build(dict(network(), data_preprocessor=dict(PREPROCESSOR)))
    own = {k[len(start) :]: v for k, v in weights.items() if k.startswith(start)}
    model.load_state_dict(own)
    return model.eval()


def calibration_error(probs, labels):
    """By its definition, in 15 bins by confidence."""
    confidence = probs.max(1)
    gaps = (probs.argmax(1) == labels) - confidence
    bins = np.ceil(15 * confidence)
    return sum(abs(gaps[bins == each].sum()) for each in set(bins)) / len(labels)


def test_statistics_are_those_of_the_logits(folders):
    run, alone = folders
    images = loader('train', indices=128)
    images.update(batch_size=128, sampler=dict(type='DefaultSampler', shuffle=False))
    (batch,) = Runner.build_dataloader(images)
    labels = np.array([int(each.gt_label) for each in batch['data_samples']])
    students = 'architecture.students.student{}.'
    peers = [
        loaded(f'{run}/train/phase0/epoch_2.pth', students.format(i)) for i in range(2)
    ]
    other = loaded(f'{alone}/train/epoch_2.pth', '')
    with torch.no_grad():
        data = other.data_preprocessor(batch, False)
        *logits, expected = [
            log_softmax(each(data['inputs']).double().numpy(), 1)
            for each in (*peers, other)
        ]
    taught = np.mean(logits, 0)
    if osp.isfile(f'{run}/train/folds.npz'):
        folds = np.load(f'{run}/train/folds.npz')['folds']
        taught = np.where(folds[:, None] == 0, *logits)
    sums = targets_of(run, alone)
    assert list(sums) == ['reference', 'teacher', 'peers']
    similar = []
    for name, each in (('reference', expected), ('peers', taught)):
        p, soft = softmax(each, 1), softmax(each / 4, 1)
        own = p[range(128), labels]
        numbers = [
            100 * np.mean(p.argmax(1) == labels),
            -np.log(own).mean(),
            calibration_error(p, labels),
            -(p * np.log(p)).sum(1).mean(),
            -(soft * np.log(soft)).sum(1).mean(),
        ]
        means = np.array([soft[labels == c].mean(0) for c in range(10)])
        similar.append(means[~np.eye(10, dtype=bool)])
        row = row_of(name, sums[name], sums['reference'])
        found = [float(cell) for cell in row[1:6]]
        assert found == pytest.approx(numbers, abs=6e-3), name
        correlation = np.corrcoef(similar)[0, -1] if len(similar) > 1 else 1
        assert float(row[6]) == pytest.approx(correlation, abs=1e-3)
