# Copyright (c) mmdckd contributors. All rights reserved.
import copy

import numpy as np
import pytest
import torch
from mmengine.optim import OptimWrapper

from helpers.networks import digits, distil, network
from mmdckd.models.losses import BaseCollectiveLoss, RelationMapLoss
from mmdckd.registry import MODELS

WIDTHS = ((6, 3, 2, 2), (6, 5, 1, 1), (6, 7))


def features(seed=0, shapes=WIDTHS):
    generator = torch.Generator().manual_seed(seed)
    options = dict(generator=generator, dtype=torch.float64)
    return [torch.randn(*shape, **options).requires_grad_() for shape in shapes]


def relation_map(feature):
    """The definition, one number after another."""
    rows = feature.detach().numpy().reshape(len(feature), -1)
    gram = np.array([[sum(a * b) for b in rows] for a in rows])
    return gram / np.sqrt((gram**2).sum(1, keepdims=True))


def distance(a, b):
    return ((a - b) ** 2).sum() / a.size


def test_it_is_its_formula():
    students, teachers = features(), features(1, WIDTHS[:2])
    found = RelationMapLoss(alpha=2.0, beta=3.0)(students, teachers)
    maps, taught = (list(map(relation_map, each)) for each in (students, teachers))
    for i, own in enumerate(maps):
        by_teachers = np.mean([distance(own, each) for each in taught])
        peers = np.mean([each for j, each in enumerate(maps) if j != i], axis=0)
        assert found['teacher'][i].item() == pytest.approx(2 * by_teachers)
        assert found['collective'][i].item() == pytest.approx(3 * distance(own, peers))


def test_peers_and_views_that_are_others():
    students, views, peers = features(), features(1), features(2)
    found = RelationMapLoss(alpha=1.0, beta=1.0)(students, [views], None, peers)
    own, seen, lagged = (list(map(relation_map, e)) for e in (students, views, peers))
    for i in range(3):
        others = np.mean([each for j, each in enumerate(lagged) if j != i], axis=0)
        assert found['teacher'][i].item() == pytest.approx(distance(own[i], seen[i]))
        assert found['collective'][i].item() == pytest.approx(distance(own[i], others))


def test_logits_may_be_the_features():
    """They are stacked, unlike features; three images and students look alike."""
    generator = torch.Generator().manual_seed(0)
    students, peers = torch.randn(2, 3, 3, 10, generator=generator)
    shared, views = torch.randn(2, 3, 10, generator=generator), peers.flip(0)[None]
    plain, logits = RelationMapLoss(), RelationMapLoss(recorder='logits')
    for teachers in (shared, views):
        lists = [list(view) if view.ndim == 3 else view for view in teachers]
        expected = plain(list(students), lists, None, list(peers))
        found = logits(students, teachers, None, peers)
        assert found.keys() == expected.keys() == {'teacher', 'collective'}
        for term, values in expected.items():
            assert torch.equal(found[term], values)


def test_a_cohort_may_compare_logits(batch):
    loss = dict(type='mmdckd.RelationMapLoss', recorder='logits')
    model = distil(
        distiller=dict(
            type='mmdckd.CollectiveDistiller', collective_losses=dict(loss_map=loss)
        )
    ).train()
    losses = model.loss(**model.data_preprocessor(batch, True))
    assert losses['collective.student1.loss_map.teacher'] > 0


def test_each_value_is_of_one_student():
    students, teachers = features(), features(1, WIDTHS[:1])
    for term, values in RelationMapLoss()(students, teachers).items():
        for i, value in enumerate(values):
            gradients = torch.autograd.grad(
                value, [*students, *teachers], retain_graph=True, allow_unused=True
            )
            moved = [g is not None and bool(g.any()) for g in gradients]
            assert moved == [j == i for j in range(4)], term


def test_half_precision_is_computed_in_full():
    large = [300 * torch.ones(4, 64, dtype=torch.float16), torch.randn(4, 8).half()]
    assert RelationMapLoss(alpha=0.0)(large)['collective'].isfinite().all()


@pytest.mark.parametrize('key', ['alpha', 'beta'])
def test_weights_and_cohorts_that_are_refused(key):
    with pytest.raises(ValueError, match=f'`{key}`'):
        RelationMapLoss(**{key: -1.0})
    with pytest.raises(ValueError, match=f'`{key}`: expected 0 with'):
        RelationMapLoss().check_cohort(*((2, 0) if key == 'alpha' else (1, 1)))


# --------------------------------------------------------------------------- #
#                                 In a cohort                                 #
# --------------------------------------------------------------------------- #

LAYER4 = dict(type='ModuleOutputs', source='backbone.layer4')
MIXED = dict(narrow=network(), wide=network(width=6))


def cohort(teacher=True, recorders=True, **kwargs):
    recorded = dict(features=LAYER4) if recorders is True else recorders
    loss = dict(type='mmdckd.RelationMapLoss', **({} if teacher else dict(alpha=0.0)))
    return distil(
        **{
            'students': MIXED,
            'teacher': network(34) if teacher else None,
            'distiller': dict(
                type='mmdckd.CollectiveDistiller',
                collective_losses=dict(loss_map=loss),
                student_recorders=recorded,
                teacher_recorders=recorded if teacher else None,
            ),
            **kwargs,
        }
    )


def losses_of(model):
    model.train()
    data = digits()
    if model.views == 'independent':
        data['inputs'] = [data['inputs'], data['inputs'].flip(-1)]
    return model(**model.data_preprocessor(data, True), mode='loss')


def layer4(network_, inputs):
    return network_.backbone(inputs)[-1]


@pytest.mark.parametrize('kwargs', [{}, dict(memory='checkpoint')])
def test_a_mixed_cohort_learns_from_the_layer(kwargs):
    model = cohort(**kwargs)
    expected = cohort()
    expected.train()
    inputs = expected.data_preprocessor(digits(), True)['inputs']
    with torch.no_grad():
        students = [layer4(each, inputs) for _, each in expected.cohort.items()]
        teacher = layer4(expected.teachers[0].model, inputs)
    losses = losses_of(model)
    for term, values in RelationMapLoss()(students, [teacher]).items():
        for name, value in zip(('narrow', 'wide'), values):
            found = losses[f'collective.{name}.loss_map.{term}']
            torch.testing.assert_close(found, value, rtol=1e-5, atol=1e-6)
    losses['collective.narrow.loss_map.teacher'].backward()
    moved = {
        name: bool(
            student.backbone.conv1.weight.grad is not None
            and student.backbone.conv1.weight.grad.any()
        )
        for name, student in model.cohort.items()
    }
    assert moved == dict(narrow=True, wide=False)


@pytest.mark.parametrize(
    'kwargs, terms',
    [
        (dict(teacher=False), {'collective'}),
        (dict(teacher=False, lagged_peers=dict(interval=2)), {'collective'}),
        (dict(views='independent'), {'teacher', 'collective'}),
        (dict(teacher_trainable=True), {'teacher', 'collective'}),
    ],
)
def test_trains(kwargs, terms):
    model = cohort(**kwargs)
    losses = losses_of(model)
    named = f'collective.{next(iter(MIXED))}.loss_map.'
    assert {k[len(named) :] for k in losses if k.startswith(named)} == terms
    total, _ = model.parse_losses(losses)
    OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1)).update_params(total)
    assert all(value.isfinite().all() for value in losses_of(model).values())


@pytest.mark.parametrize('role', ['student', 'teacher'])
def test_a_recorder_that_is_missing_is_named(role):
    distiller = dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_map=dict(type='mmdckd.RelationMapLoss')),
        student_recorders=dict(features=LAYER4),
        teacher_recorders=dict(features=LAYER4),
    )
    distiller[f'{role}_recorders'] = dict(feature=LAYER4)
    message = (
        f"Invalid `distiller.{role}_recorders`: expected a recorder named 'features'"
        ".*collective_losses.loss_map.*Did you mean 'feature'"
    )
    with pytest.raises(ValueError, match=message):
        cohort(distiller=distiller)


@pytest.mark.parametrize(
    'source, error', [('backbone.layer9', ValueError), ('head.loss_module', None)]
)
def test_sources_that_give_no_features_are_named(source, error):
    recorders = dict(features=dict(LAYER4, source=source))
    if error:
        with pytest.raises(error, match='student_recorders.features.source'):
            cohort(recorders=recorders)
        return
    # The task loss does not run where the teacher does.
    with pytest.raises(ValueError, match='`distiller.teacher_recorders.features.sou'):
        losses_of(cohort(recorders=recorders))


def test_no_feature_is_kept_after_a_step():
    model = cohort()
    losses_of(model)
    assert not model.distiller.student_distillers
    copy.deepcopy(model)  # refused of what has a graph


def test_graphs_and_cached_teachers_are_refused():
    with pytest.raises(ValueError, match='Invalid `cuda_graphs`.*more than logits'):
        cohort(cuda_graphs=True)
    model = cohort()
    assert not model.module_inplace
    assert not model.distiller.takes_teacher_logits_alone


@MODELS.register_module()
class LogitsByFeatures(BaseCollectiveLoss):
    """One that reads two things."""

    inputs = ('logits', 'features')

    def __init__(self, needs_teacher):
        super().__init__()
        self._needs_teacher = needs_teacher

    @property
    def needs_teacher(self):
        return self._needs_teacher

    def check_cohort(self, num_students, num_teachers):
        pass

    def forward(self, preds_S, preds_T=None, gt_labels=None, preds_P=None):
        assert preds_S['logits'].shape == (2, 16, 10)
        assert [len(each) for each in preds_S['features']] == [16, 16]
        assert len(gt_labels) == 16
        if self.needs_teacher:
            assert preds_T['logits'].shape == (1, 16, 10)
            assert len(preds_T['features']) == 1
        else:
            assert preds_T is None
        return dict(term=preds_S['logits'].square().mean((1, 2)))


@pytest.mark.parametrize('needs_teacher', [True, False])
def test_a_loss_that_reads_two_things_gets_them_by_name(needs_teacher):
    distiller = dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(
            loss_two=dict(type='LogitsByFeatures', needs_teacher=needs_teacher),
            loss_dckd=dict(type='mmdckd.DCKDLoss'),
        ),
        student_recorders=dict(features=LAYER4),
        teacher_recorders=dict(features=LAYER4) if needs_teacher else None,
    )
    losses = losses_of(cohort(distiller=distiller))
    assert 'collective.wide.loss_two.term' in losses
    assert 'collective.wide.loss_dckd.teacher' in losses
