# Copyright (c) mmdckd contributors. All rights reserved.
import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper

from helpers.networks import digits, distil, network
from helpers.runs import run_config, train

ALONE = dict(teacher=None, allow_random_teacher=False)
LOSS = dict(type='mmdckd.DCKDLoss', alpha=0.5, beta=2.0, gamma=0.0, tau=3.0)


def distiller(**loss):
    return dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_dckd={**LOSS, **loss}),
    )


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """Three networks of 10 classes, with their weights in files."""
    from mmdckd.models.networks import build_network, resolve_network

    folder = tmp_path_factory.mktemp('peers')
    cfgs = []
    for seed in range(3):
        torch.manual_seed(seed)
        model = build_network(resolve_network(network(width=8), 'peer'))
        model.init_weights()
        path = folder / f'peer{seed}.pth'
        torch.save(model.state_dict(), path)
        cfgs.append(dict(network(width=8), pretrained=str(path)))
    return cfgs


def said(model, batch):
    """Images, and what peers, teacher and students say of them."""
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    with torch.no_grad():
        peers = [
            peer.model(data['inputs'], mode='tensor')
            for peer in model.finished_peers.networks.values()
        ]
        students = [
            copy.deepcopy(student)(data['inputs'], mode='tensor')
            for student in model.cohort.students.values()
        ]
        teacher = model.teachers[0].model(data['inputs'], mode='tensor')
    return data, peers, students, teacher


@pytest.mark.parametrize('num_students', [1, 2])
@pytest.mark.parametrize('num_peers', [1, 2, 3])
def test_students_learn_from_finished_peers(files, batch, num_students, num_peers):
    model = distil(
        num_students, distiller=distiller(), finished_peers=files[:num_peers]
    ).train()
    data, peers, students, _ = said(model, batch)
    target = (sum(F.log_softmax(z / 3, -1) for z in peers) / num_peers).softmax(-1)
    losses = model(**data, mode='loss')
    for i, student in enumerate(students):
        expected = F.kl_div(
            F.log_softmax(student / 3, -1), target, reduction='batchmean'
        )
        torch.testing.assert_close(
            losses[f'collective.student{i}.loss_dckd.collective'], 2 * 9 * expected
        )


def test_the_student_and_the_teacher_may_be_in_the_set(files, batch):
    collector = dict(
        type='mmdckd.MeanCollector', include_self=True, include_teacher=True
    )
    model = distil(
        2, distiller=distiller(collector=collector), finished_peers=files[:1]
    ).train()
    data, peers, students, teacher = said(model, batch)
    losses = model(**data, mode='loss')
    for i, student in enumerate(students):
        target = sum(F.softmax(z / 3, -1) for z in (peers[0], student, teacher)) / 3
        expected = F.kl_div(
            F.log_softmax(student / 3, -1), target, reduction='batchmean'
        )
        torch.testing.assert_close(
            losses[f'collective.student{i}.loss_dckd.collective'], 2 * 9 * expected
        )


def test_with_independent_views_a_peer_sees_what_the_student_sees(files):
    model = distil(
        2, distiller=distiller(), finished_peers=files[:2], views='independent'
    ).train()
    batches = [model.data_preprocessor.each(digits(8, start), True) for start in (0, 8)]
    inputs = [batch['inputs'] for batch in batches]
    samples = [batch['data_samples'] for batch in batches]
    with torch.no_grad():
        students = [
            copy.deepcopy(student)(x, mode='tensor')
            for student, x in zip(model.cohort.students.values(), inputs)
        ]
        targets = [
            sum(
                F.log_softmax(peer.model(x, mode='tensor') / 3, -1)
                for peer in model.finished_peers.networks.values()
            )
            .div(2)
            .softmax(-1)
            for x in inputs
        ]
    losses = model(inputs, samples, mode='loss')
    for i in range(2):
        expected = F.kl_div(
            F.log_softmax(students[i] / 3, -1), targets[i], reduction='batchmean'
        )
        torch.testing.assert_close(
            losses[f'collective.student{i}.loss_dckd.collective'], 2 * 9 * expected
        )


def test_peers_are_frozen_and_no_part_of_the_model(files, batch):
    model = distil(1, distiller=distiller(), finished_peers=files[:2]).train()
    alone = distil(
        1, distiller=distiller(beta=0.0)
    )  # the same without peers, for the names of its weights
    assert list(model.state_dict()) == list(alone.state_dict())
    before = [
        copy.deepcopy(peer.model.state_dict())
        for peer in model.finished_peers.networks.values()
    ]
    optim = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
    model.train_step(batch, optim)
    for state, peer in zip(before, model.finished_peers.networks.values()):
        assert not peer.model.training
        for key, value in peer.model.state_dict().items():
            assert torch.equal(value, state[key])
    model.double()
    for peer in model.finished_peers.networks.values():
        assert next(peer.model.parameters()).dtype == torch.float64
    assert copy.deepcopy(model).finished_peers is model.finished_peers


def test_building_peers_draws_nothing(files):
    """A student starts as it does without them."""
    model = distil(1, distiller=distiller(), finished_peers=files[:2])
    alone = distil(1, distiller=distiller(beta=0.0))
    for key, value in alone.state_dict().items():
        assert torch.equal(model.state_dict()[key], value)


def test_the_checkpoint_of_a_cohort_has_its_students(tmp_path):
    runner = train(run_config(tmp_path))
    path = f'{runner.work_dir}/epoch_2.pth'
    model = distil(1, distiller=distiller(), finished_peers=path)
    students = list(runner.model.cohort.students.values())
    peers = list(model.finished_peers.networks.values())
    assert len(peers) == len(students) == 2
    for student, peer in zip(students, peers):
        for key, value in student.state_dict().items():
            assert torch.equal(peer.model.state_dict()[key], value), key
    # Its images are normalized as that run did.
    assert peers[0].model.data_preprocessor.mean.flatten().tolist() == [60, 80, 100]


def test_a_checkpoint_that_does_not_know_its_students(tmp_path):
    runner = train(run_config(tmp_path))
    content = torch.load(f'{runner.work_dir}/epoch_2.pth', weights_only=False)
    del content['meta']['students']
    torch.save(content, tmp_path / 'old.pth')
    with pytest.raises(ValueError, match='finished_peers.*holds the students. configs'):
        distil(1, distiller=distiller(), finished_peers=str(tmp_path / 'old.pth'))


@pytest.mark.parametrize(
    'cfg, options, message',
    [
        (network(), ALONE, r'finished_peers\[0\].*`pretrained`, got no weights'),
        ([], {}, 'finished_peers.*configs of one or more'),
        (3, {}, 'finished_peers.*configs of one or more'),
        (['a.pth'], {}, r"finished_peers\[0\]`: expected the config .* got 'a.pth'"),
        ('missing.pth', {}, 'missing.pth'),
        (
            0,
            dict(num_students=2, lagged_peers=dict(interval=2)),
            'None with `lagged_peers`',
        ),
        (0, dict(distiller=distiller(beta=0.0)), 'no loss .*learns from peers'),
        (
            0,
            dict(num_students=2, distiller=distiller(alpha=0.0, collector='agreement')),
            'got AgreementCollector',
        ),
        (0, dict(distiller=distiller(collector='general')), 'got GeneralCollector'),
        (
            0,
            dict(
                num_students=2,
                distiller=dict(
                    type='mmdckd.CollectiveDistiller',
                    collective_losses=dict(
                        loss_one=dict(
                            type='mmdckd.GatedEnsembleLoss',
                            num_students=2,
                            num_classes=10,
                        )
                    ),
                ),
            ),
            'loss_one.*finished_peers.*GatedEnsembleLoss',
        ),
        (0, dict(architecture=network(num_classes=7), teacher=None), 'of 7 classes'),
    ],
)
def test_bad_peers_are_refused(files, cfg, options, message):
    options = {'distiller': distiller(alpha=0.0), 'num_students': 1, **options}
    cfg = files[:1] if cfg == 0 else cfg
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        distil(finished_peers=cfg, **options)


def test_a_loss_on_features_of_the_teacher_needs_no_peers(files, batch):
    def model(**kwargs):
        cfg = distiller(alpha=0.0)
        loss = dict(type='mmdckd.RelationMapLoss', **kwargs)
        recorders = dict(features=dict(type='ModuleOutputs', source='backbone'))
        cfg['collective_losses']['loss_map'] = loss
        cfg.update(student_recorders=recorders, teacher_recorders=recorders)
        return distil(2, distiller=cfg, finished_peers=files[:1]).train()

    with pytest.raises(ValueError, match='loss_map.*finished_peers.*RelationMapLoss'):
        model()
    model = model(beta=0.0)
    losses = model(**model.data_preprocessor(batch, True), mode='loss')
    assert losses['collective.student1.loss_map.teacher'] > 0


def test_peers_that_are_blind_do_not_compare_students(files):
    with pytest.raises(ValueError, match='of HeldOutCollector.*got AgreementCollector'):
        distil(
            2,
            finished_peers=[dict(cfg, blind_to=i) for i, cfg in enumerate(files)],
            folds=dict(num_folds=3),
            distiller=distiller(collector=dict(type='held_out', collector='agreement')),
        )


def test_a_peer_gets_images_as_its_own_preprocessor_makes_them(files, batch):
    """Also if that does not normalize them."""
    own = dict(type='mmpretrain.ClsDataPreprocessor', num_classes=10, to_rgb=True)
    model = distil(
        1,
        distiller=distiller(),
        finished_peers=[dict(files[0], data_preprocessor=own), files[1]],
    )
    inputs = model.data_preprocessor(batch)['inputs']
    adapted, same = (
        peer.adapt(inputs) for peer in model.finished_peers.networks.values()
    )
    torch.testing.assert_close(adapted, batch['inputs'].flip(1).float())
    assert torch.equal(same, inputs)


def test_peers_need_only_logits(files, batch):
    """And not the features that a loss on the teacher's reads."""
    cfg = distiller()
    source = dict(type='ModuleOutputs', source='backbone.layer4')
    cfg['collective_losses']['loss_map'] = dict(type='mmdckd.RelationMapLoss', beta=0.0)
    cfg.update(student_recorders=dict(features=source))
    cfg.update(teacher_recorders=dict(features=source))
    other = dict(
        type='ImageClassifier',
        backbone=dict(type='LeNet5', num_classes=-1),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=120),
    )
    peers = [dict(other, neck=dict(type='GlobalAveragePooling'))]
    model = distil(1, distiller=cfg, finished_peers=peers, allow_random_teacher=True)
    assert model.finished_peers.networks


def with_parts(path):
    """A network whose parts name the file of their weights."""
    cfg = network(width=8)
    for part in ('backbone', 'head'):
        own = dict(type='Pretrained', checkpoint=path, prefix=f'{part}.')
        cfg[part] = dict(cfg[part], init_cfg=own)
    return cfg


def test_the_parts_of_a_peer_are_pretrained_as_those_of_a_teacher(files):
    path = files[0]['pretrained']
    model = distil(
        1,
        teacher=with_parts(path),
        finished_peers=[with_parts(path)],
        distiller=distiller(),
    )
    (peer,) = model.finished_peers.networks.values()
    for key, value in torch.load(path).items():
        assert torch.equal(model.teachers[0].model.state_dict()[key], value), key
        assert torch.equal(peer.model.state_dict()[key], value), key


def test_parts_of_a_peer_that_do_not_fit_are_refused(files):
    cfg = with_parts(files[0]['pretrained'])
    cfg['backbone']['init_cfg']['prefix'] = 'body.'
    message = r"finished_peers\[0\].backbone.init_cfg.prefix`.*got 'body.'"
    with pytest.raises(ValueError, match=message):
        distil(1, finished_peers=[cfg], distiller=distiller())
