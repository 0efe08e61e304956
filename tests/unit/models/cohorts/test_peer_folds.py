# Copyright (c) mmdckd contributors. All rights reserved.
"""Held-out knowledge of peers that have finished, in two phases."""

import copy
import os.path as osp

import pytest
import torch
import torch.nn.functional as F
from mmpretrain.structures import DataSample

from helpers.networks import distil, shallow
from helpers.runs import run_config, shallow_cohort, train, with_unlabeled
from mmdckd.engine.runner.phases import train_phases
from mmdckd.models.cohorts.batch_folds import BlindPeers
from mmdckd.models.distillers.seen_losses import held_out_losses
from mmdckd.models.losses import DCKDLoss

LOSS = 'model.distiller.collective_losses.loss_dckd'
FOLDS = dict(num_folds=2)


def config(tmp_path, num_peers=2, **last):
    cfg = run_config(
        tmp_path,
        shallow_cohort(1),
        phases=[
            {
                'model.num_students': num_peers,
                'model.folds': FOLDS,
                f'{LOSS}.beta': 0.0,
            },
            {
                'model.finished_peers': 'phase0',
                'model.folds': FOLDS,
                f'{LOSS}.collector': 'held_out',
                **last,
            },
        ],
    )
    cfg.model.distiller = copy.deepcopy(cfg.model.distiller)
    cfg.model.distiller.collective_losses.loss_dckd.gamma = 0.0
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.folds = dict(type='mmdckd.FoldsHook')
    return cfg


@pytest.mark.parametrize('num_peers', [2, 4])
def test_an_image_is_taught_by_the_peers_that_are_blind_to_it(tmp_path, num_peers):
    runner = train_phases(config(tmp_path, num_peers))
    model = runner.model
    batch = next(iter(runner.train_dataloader))
    folds = [sample.fold for sample in batch['data_samples']]
    assert set(folds) == {0, 1}
    data = model.data_preprocessor(batch, True)
    with torch.no_grad():
        peers = [
            F.log_softmax(peer.model(data['inputs'], mode='tensor') / 4, -1)
            for peer in model.finished_peers.networks.values()
        ]
        student = copy.deepcopy(model.cohort.students['student0'])
        student = F.log_softmax(student.train()(data['inputs']) / 4, -1)
    # The students of the first phase take the folds in turn.
    targets = torch.stack(
        [
            torch.stack([peers[j][i] for j in range(fold, num_peers, 2)])
            .mean(0)
            .softmax(-1)
            for i, fold in enumerate(folds)
        ]
    )
    losses = model.train()(**data, mode='loss')
    torch.testing.assert_close(
        losses['collective.student0.loss_dckd.collective'],
        16 * F.kl_div(student, targets, reduction='batchmean'),
    )


def test_an_image_without_a_label_is_taught_by_all_peers(tmp_path):
    cfg = config(tmp_path)
    cfg.train_dataloader = with_unlabeled(cfg.train_dataloader, 0.5)
    runner = train_phases(cfg)
    model = runner.model
    batch = next(iter(runner.train_dataloader))
    folds = [sample.fold for sample in batch['data_samples']]
    assert folds.count(-1) == 16 and set(folds) == {0, 1, -1}
    data = model.data_preprocessor(batch, True)
    with torch.no_grad():
        peers = torch.stack(
            [
                F.log_softmax(peer.model(data['inputs'], mode='tensor') / 4, -1)
                for peer in model.finished_peers.networks.values()
            ]
        )
        student = copy.deepcopy(model.cohort.students['student0'])
        student = F.log_softmax(student.train()(data['inputs']) / 4, -1)
    targets = torch.stack(
        [
            (peers[fold, i] if fold >= 0 else peers[:, i].mean(0)).softmax(-1)
            for i, fold in enumerate(folds)
        ]
    )
    losses = model.train()(**data, mode='loss')
    torch.testing.assert_close(
        losses['collective.student0.loss_dckd.collective'],
        16 * F.kl_div(student, targets, reduction='batchmean'),
    )


def test_each_image_counts_the_same():
    """Whether few or many of a batch have a label."""
    generator = torch.Generator().manual_seed(0)
    students = torch.randn(2, 6, 5, generator=generator)
    peers = torch.randn(3, 2, 6, 5, generator=generator)
    groups = [
        BlindPeers(torch.tensor([0, 2, 3, 4, 5]), torch.tensor([[1, 2, 0, 0, 1]])),
        BlindPeers(torch.tensor([1]), torch.tensor([[0], [1], [2]])),
    ]
    loss = DCKDLoss(alpha=0.0, gamma=0.0, tau=1.0, collector='held_out')
    loss.use_finished_peers(1)
    found = held_out_losses(loss, students, None, peers, None, groups)['collective']
    for i in range(2):
        targets = [
            peers[own, i, image].log_softmax(-1).mean(0).softmax(-1)
            for image, own in enumerate([[1], [0, 1, 2], [2], [0], [0], [1]])
        ]
        expected = F.kl_div(
            students[i].log_softmax(-1), torch.stack(targets), reduction='batchmean'
        )
        torch.testing.assert_close(found[i], expected)


def test_networks_may_say_to_which_fold_they_are_blind(cohorts):
    """In any order."""
    peers = [
        dict(shallow(), pretrained=path, blind_to=fold)
        for path, fold in zip(exported(cohorts[0]), (2, 0, 1))
    ]
    model = distil(
        1,
        finished_peers=peers,
        folds=dict(num_folds=3),
        distiller=dict(
            type='mmdckd.CollectiveDistiller',
            collective_losses=dict(
                loss_dckd=dict(type='mmdckd.DCKDLoss', gamma=0.0, collector='held_out')
            ),
        ),
    )
    samples = [DataSample(metainfo=dict(fold=fold)) for fold in (0, -1, 1, 2, 2, -1)]
    blind = model.folds.blind(samples, torch.device('cpu'))
    assert [(rows.tolist(), peers.tolist()) for rows, peers in blind] == [
        ([0, 2, 3, 4], [[1, 2, 0, 0]]),
        ([1, 5], [[0, 0], [1, 1], [2, 2]]),
    ]


def test_other_images_than_the_peers_had_are_refused(tmp_path):
    cfg = config(tmp_path, **{'train_dataloader.dataset.indices': 96})
    with pytest.raises(ValueError, match='the folds of the finished peers'):
        train_phases(cfg)


def test_a_phase_without_the_hook_is_told(tmp_path):
    cfg = config(tmp_path, **{'default_hooks.folds': None})
    with pytest.raises(ValueError, match='expected the `fold` of every sample'):
        train_phases(cfg)


def exported(path):
    """Files of the weights of three students."""
    weights = torch.load(path, weights_only=False)['state_dict']
    for i in range(3):
        start = f'architecture.students.student{i}.'
        own = {k[len(start) :]: v for k, v in weights.items() if k.startswith(start)}
        torch.save(own, f'{path}.{i}')
        yield f'{path}.{i}'


@pytest.fixture(scope='module')
def cohorts(tmp_path_factory):
    """Checkpoints of cohorts with folds and without."""
    folder = tmp_path_factory.mktemp('cohorts')
    paths = []
    for folds in (dict(num_folds=3), None):
        cfg = run_config(folder, shallow_cohort(3))
        cfg.model.folds = folds
        cfg.train_dataloader.batch_size = 30
        cfg.train_cfg.max_epochs = 1
        cfg.default_hooks.folds = dict(type='mmdckd.FoldsHook')
        paths.append(osp.join(train(cfg).work_dir, 'epoch_1.pth'))
    return paths


@pytest.mark.parametrize(
    'blind, folds, message',
    [
        (False, FOLDS, 'trained with `model.folds`'),
        (True, dict(num_folds=4), r'num_folds.*\[0, 1, 2\], got 4'),
        (True, dict(num_folds=0), 'model.folds.num_folds'),
        (True, dict(graduate='student0'), 'with `finished_peers`, got'),
        (True, 3, 'with `finished_peers`, got 3'),
    ],
)
def test_folds_that_do_not_fit_are_refused(cohorts, blind, folds, message):
    loss = dict(type='mmdckd.DCKDLoss', gamma=0.0, collector='held_out')
    with pytest.raises(ValueError, match=message):
        distil(
            1,
            finished_peers=cohorts[0 if blind else 1],
            folds=folds,
            distiller=dict(
                type='mmdckd.CollectiveDistiller',
                collective_losses=dict(loss_dckd=loss),
            ),
        )


HELD_OUT = dict(
    type='mmdckd.CollectiveDistiller',
    collective_losses=dict(
        loss_dckd=dict(type='mmdckd.DCKDLoss', gamma=0.0, collector='held_out')
    ),
)


def taught(blind_to, **options):
    """A student of untrained peers that are blind to these folds."""
    peers = [dict(shallow(), blind_to=fold) for fold in blind_to]
    return distil(1, finished_peers=peers, distiller=HELD_OUT, **options)


@pytest.mark.parametrize(
    'blind_to, folds, message',
    [
        # The last fold, for Python.
        ([-1, 0], FOLDS, r'finished_peers\[0\].blind_to`.*got -1'),
        ([0, '1'], FOLDS, r"finished_peers\[1\].blind_to`.*got '1'"),
        ([0, [1]], FOLDS, r'finished_peers\[1\].blind_to`.*got \[1\]'),
        ([0, True], FOLDS, r'finished_peers\[1\].blind_to`.*got True'),
        # Peers of four folds, two of which are not blind to any of two folds.
        ([0, 1, 2, 3], FOLDS, r'num_folds.*\[0, 1, 2, 3\], got 2'),
        ([0, 1], dict(num_folds=2, seed='0'), "folds.seed`.*got '0'"),
    ],
)
def test_folds_that_no_peer_can_be_blind_to(blind_to, folds, message):
    with pytest.raises(ValueError, match=message):
        taught(blind_to, folds=folds)


def test_students_of_blind_peers_may_run_as_graphs():
    """They see every image, unlike students with folds of their own."""
    assert taught([0, 1], folds=FOLDS, cuda_graphs=True).graphs is not None
    assert taught([0, 1], folds=FOLDS, cuda_graphs=False).graphs is None


def test_students_of_blind_peers_are_blind_to_nothing(cohorts, tmp_path):
    """A run with blind peers notes the folds of its images, of which its students
    saw all."""
    content = torch.load(cohorts[1], weights_only=False)
    content['meta'].update(folds='a hash', fold_of={})
    path = str(tmp_path / 'second.pth')
    torch.save(content, path)
    with pytest.raises(ValueError, match='finished_peers.*trained with `model.folds`'):
        distil(1, finished_peers=path, folds=FOLDS, distiller=HELD_OUT)
