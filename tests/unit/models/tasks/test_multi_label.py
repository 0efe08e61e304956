# Copyright (c) mmdckd contributors. All rights reserved.
"""DCKDLoss and collectors on C independent Bernoullis, by their formulas."""

import math

import pytest
import torch
from mmpretrain.structures import DataSample

from helpers.networks import digits, distil, multi_label, network
from mmdckd.models.collectors import build_collector
from mmdckd.models.losses import DCKDLoss
from mmdckd.models.tasks import Classification, MultiLabel, build_task

TAU = 2.0


def sigmoid(logits):
    return 1 / (1 + torch.exp(-logits.double() / TAU))


def kl(q, p):
    """KL of Bernoullis: the sum over classes, the mean over images."""
    each = q * (q / p).log() + (1 - q) * ((1 - q) / (1 - p)).log()
    return each.sum(-1).mean(-1)


def entropy(p):
    return -(p * p.log() + (1 - p) * (1 - p).log()).sum(-1).mean(-1)


def logits(number=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(number, 8, 5, generator=generator).double()


def loss(**kwargs):
    options = dict(tau=TAU)
    options.update(kwargs)
    return several_labels(DCKDLoss(**options))


def several_labels(loss):
    loss.use_task(MultiLabel())
    return loss


def targets(collector, members):
    """C of a set of members (K, B, C), by the formulas of the docs."""
    p = sigmoid(members)
    return dict(mean=p.mean(0), max=p.max(0)[0], logit_mean=sigmoid(members.mean(0)))[
        collector
    ]


def test_the_teachers_term():
    z, t = logits(), logits(1, 1)[0]
    terms = loss(alpha=0.7, beta=0.0, gamma=0.0)(z, t)
    for value, student in zip(terms['teacher'], z):
        expected = 0.7 * TAU**2 * kl(sigmoid(t), sigmoid(student))
        torch.testing.assert_close(value, expected)


def test_logits_that_are_shifted_are_not_the_same():
    """By a softmax they are: the loss was 1.6e-7."""
    t = logits(1)[0]
    shifted = (t - 6)[None]
    options = dict(alpha=1.0, beta=0.0, gamma=0.0, tau=1.0)
    value = several_labels(DCKDLoss(**options))(shifted, t)['teacher']
    p, q = (1 / (1 + torch.exp(-z)) for z in (shifted[0], t))
    torch.testing.assert_close(value[0], kl(q, p))
    assert value > 5
    assert DCKDLoss(**options)(shifted, t)['teacher'] < 1e-6


@pytest.mark.parametrize('collector', ['mean', 'max', 'logit_mean'])
@pytest.mark.parametrize('include_self', [False, True])
@pytest.mark.parametrize('include_teacher', [False, True])
def test_the_collective_term(collector, include_self, include_teacher):
    z, t = logits(), logits(2, 1)
    cfg = dict(
        type=collector, include_self=include_self, include_teacher=include_teacher
    )
    terms = loss(alpha=0.0, beta=0.5, gamma=0.0, collector=cfg)(z, t)
    for i, value in enumerate(terms['collective']):
        members = [z[j] for j in range(3) if j != i or include_self]
        if include_teacher:
            members += list(t)
        target = targets(collector, torch.stack(members))
        expected = 0.5 * TAU**2 * kl(target, sigmoid(z[i]))
        torch.testing.assert_close(value, expected)


def test_weighted_members():
    z, weights = logits(), [1.0, 2.0, 4.0]
    cfg = dict(type='weighted', weights=weights)
    terms = loss(alpha=0.0, gamma=0.0, collector=cfg)(z)
    for i, value in enumerate(terms['collective']):
        others = [j for j in range(3) if j != i]
        w = torch.tensor([weights[j] for j in others]).double()
        target = ((w / w.sum()).view(-1, 1, 1) * sigmoid(z[others])).sum(0)
        torch.testing.assert_close(value, TAU**2 * kl(target, sigmoid(z[i])))


def test_the_correlation_gain():
    z = logits()
    terms = loss(alpha=0.0, beta=0.0, gamma=0.1)(z)
    torch.testing.assert_close(terms['correlation'], -0.1 * entropy(sigmoid(z)))


def test_several_teachers():
    z, t = logits(), logits(2, 1)
    terms = loss(beta=0.0, gamma=0.0)(z, t)
    target = sigmoid(t).mean(0)
    torch.testing.assert_close(
        terms['teacher'],
        torch.stack([TAU**2 * kl(target, sigmoid(each)) for each in z]),
    )


def test_two_classes_that_exclude_each_other_are_one_of_several_labels():
    """softmax (z, 0) is the Bernoulli of z."""
    z, t = logits()[..., :1], logits(1, 1)[0, :, :1]
    pairs = [torch.cat([each, 0 * each], -1) for each in (z, t)]
    for collector in ('mean', 'logit_mean'):
        options = dict(collector=collector, tau=TAU)
        one = DCKDLoss(**options)(*pairs)
        several = loss(**options)(z, t)
        assert one.keys() == several.keys()
        for term, value in one.items():
            torch.testing.assert_close(several[term], value)


# ---------------------------------------------------------------------------
# Reductions and properties, as for softmax.
# ---------------------------------------------------------------------------


def test_one_student_is_hinton_kd():
    z, t = logits(1), logits(1, 1)[0]
    terms = loss(beta=0.0, gamma=0.0)(z, t)
    assert list(terms) == ['teacher']
    torch.testing.assert_close(
        terms['teacher'][0], TAU**2 * kl(sigmoid(t), sigmoid(z[0]))
    )


def test_the_gradient_is_that_of_deep_mutual_learning():
    z = logits().requires_grad_()
    options = dict(alpha=0.0, gamma=0.0, tau=1.0, collector='mean')
    several_labels(DCKDLoss(**options))(z)['collective'].sum().backward()
    found, z.grad = z.grad, None
    p = torch.sigmoid(z)
    sum(
        kl(p[j].detach(), p[i]) / 2 for i in range(3) for j in range(3) if i != j
    ).backward()
    torch.testing.assert_close(found, z.grad)


def test_no_weight_is_no_term():
    assert loss(alpha=0.0, beta=0.0, gamma=0.0)(logits()) == {}


@pytest.mark.parametrize('collector', ['mean', 'max', 'logit_mean'])
def test_equal_students_collect_what_they_know(collector):
    z = logits(1).expand(3, -1, -1)
    value = loss(alpha=0.0, gamma=0.0, collector=collector)(z)['collective']
    torch.testing.assert_close(value, torch.zeros(3).double())


@pytest.mark.parametrize('collector', ['mean', 'max', 'logit_mean'])
def test_permutations(collector):
    z, t = logits(), logits(1, 1)[0]
    term = loss(collector=collector)
    plain = term(z, t)
    order, classes = torch.tensor([2, 0, 1]), torch.tensor([4, 2, 0, 1, 3])
    for name, value in term(z[order], t).items():
        torch.testing.assert_close(value, plain[name][order])
    for name, value in term(z[..., classes], t[:, classes]).items():
        torch.testing.assert_close(value, plain[name])


def test_gradients_by_differences_and_none_of_others():
    z, t = logits().requires_grad_(), logits(1, 1)[0]

    def total(z, index):
        return sum(value[index] for value in loss()(z, t).values())

    for i in range(3):
        assert torch.autograd.gradcheck(
            lambda own, i=i: total(
                torch.cat([z[:i].detach(), own, z[i + 1 :].detach()]), i
            ),
            z[i : i + 1].detach().requires_grad_(),
        )
        (grad,) = torch.autograd.grad(total(z, i), z)
        others = [j for j in range(3) if j != i]
        assert grad[i].any() and not grad[others].any()


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('collector', ['mean', 'max', 'logit_mean'])
def test_large_logits(dtype, collector):
    z = torch.tensor([1e4, -1e4, 0.0, 5.0]).to(dtype).repeat(3, 2, 1)
    z[1] = -z[1]
    z.requires_grad_()
    terms = loss(collector=collector)(z, -z[0].detach())
    assert all(torch.isfinite(value).all() for value in terms.values())
    sum(value.sum() for value in terms.values()).backward()
    assert torch.isfinite(z.grad).all()


# ---------------------------------------------------------------------------
# What has no meaning.
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    'cfg',
    [
        *(
            dict(collector=name)
            for name in (
                'min_logit',
                'naive',
                'linear',
                'confidence',
                'cross_entropy',
                'general',
            )
        ),
        *(dict(teacher_collector=name) for name in ('naive', 'general')),
        dict(correlation='non_target'),
        dict(standardize=True),
    ],
)
def test_what_has_no_meaning_is_refused(cfg):
    with pytest.raises(ValueError, match="the task 'multi_label'"):
        loss(**cfg)
    # In a cohort, by the head, and with the config key.
    distiller = dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss_a=dict(type='mmdckd.DCKDLoss', **cfg)),
    )
    with pytest.raises(ValueError, match='collective_losses.loss_a`'):
        distil(architecture=multi_label(), teacher=multi_label(34), distiller=distiller)


@pytest.mark.parametrize(
    'cfg',
    [
        dict(type='mmdckd.GatedEnsembleLoss', num_students=2, num_classes=10),
        dict(type='mmdckd.MLKDLoss'),
        dict(type='mmdckd.CohortDKDLoss'),
    ],
)
def test_losses_for_one_label(cfg):
    distiller = dict(
        type='mmdckd.CollectiveDistiller', collective_losses=dict(loss_a=cfg)
    )
    with pytest.raises(ValueError, match="loss_a`: .* the task 'multi_label"):
        distil(architecture=multi_label(), teacher=multi_label(34), distiller=distiller)


def test_collectors_without_a_weight_are_not_looked_at():
    assert loss(beta=0.0, collector='min_logit').task.name == 'multi_label'


# ---------------------------------------------------------------------------
# In a cohort.
# ---------------------------------------------------------------------------


def several(batch):
    for i, sample in enumerate(batch['data_samples']):
        first = int(sample.gt_label)
        labels = [[], [first], [first, (first + 3) % 10]][i % 3]
        batch['data_samples'][i] = DataSample().set_gt_label(
            torch.tensor(labels, dtype=torch.long)
        )
    return batch


def test_the_task_is_found_from_the_heads():
    model = distil(architecture=multi_label(), teacher=multi_label(34))
    assert model.task.name == model.distiller.task.name == 'multi_label'
    loss_ = model.distiller.collective_losses['loss_dckd']
    assert loss_.task.name == loss_.collector.task.name == 'multi_label'
    assert distil().task.name == 'classification'
    assert distil(task='multi_label').task.name == 'multi_label'


def test_heads_for_different_tasks_are_refused():
    for cfg, keys in (
        (dict(architecture=multi_label()), ('`architecture.head`', '`teacher.head`')),
        (
            dict(
                students=dict(a=network(), b=multi_label()),
                teacher=[network(34), network(34)],
            ),
            ('`students.a.head`', '`students.b.head`', '`teacher[1].head`'),
        ),
    ):
        with pytest.raises(
            ValueError, match='Invalid `head`: expected heads for the same'
        ) as error:
            distil(**cfg)
        assert all(key in str(error.value) for key in keys)
    assert distil(architecture=multi_label(), task='multi_label')


def test_names_of_tasks():
    with pytest.raises(ValueError, match="Did you mean 'multi_label'"):
        distil(task='multilabel')


def test_a_step_and_a_prediction_of_a_cohort():
    model = distil(
        3,
        architecture=multi_label(thr=0.6),
        teacher=multi_label(34),
        lagged_peers=dict(momentum=0.5),
    )
    data = model.train().data_preprocessor(several(digits()), True)
    losses = model(**data, mode='loss')
    z = {}
    for name, student in model.cohort.items():
        student.head.fc.register_forward_hook(
            lambda *args, name=name: z.update({name: args[2].detach()})
        )
    again = model(**data, mode='loss')
    p = torch.stack(list(z.values())).double().sigmoid()
    for name, each in zip(z, p):
        torch.testing.assert_close(
            again[f'collective.{name}.entropy'].double(), entropy(each)
        )
    top = p >= 0.5
    pairs = [(i, j) for i in range(3) for j in range(3) if i != j]
    agreement = sum((top[i] == top[j]).double().mean() for i, j in pairs) / 6
    torch.testing.assert_close(again['collective.agreement'].double(), agreement)
    total = sum(value for key, value in losses.items() if 'loss' in key)
    assert math.isfinite(total) and losses['collective.student0.loss_dckd.teacher'] > 0
    total.backward()

    members = model.eval().predict_members(
        **model.data_preprocessor(several(digits()), False)
    )
    for i, sample in enumerate(members['ensemble']):
        mean = torch.stack(
            [members[f'student{j}'][i].pred_score for j in range(3)]
        ).mean(0)
        torch.testing.assert_close(sample.pred_score, mean)
        assert sample.pred_label.tolist() == torch.where(mean >= 0.6)[0].tolist()


def test_labels_are_those_of_the_head():
    samples = several(digits(6))['data_samples']
    labels = MultiLabel.gather_labels(samples, 10)
    assert labels.sum(1).tolist() == [0, 1, 2, 0, 1, 2]
    one = digits(3)['data_samples']
    assert MultiLabel.gather_labels(one, 10).shape == (3, 10)
    assert Classification.gather_labels(one, 10).shape == (3,)


def test_statistics_of_both_tasks():
    z = logits(3).float()
    p = z.double().sigmoid()
    torch.testing.assert_close(MultiLabel.entropy(z).mean(-1).double(), entropy(p))
    assert 0 <= MultiLabel.agreement(z) <= 1
    assert MultiLabel.agreement(z[:1].expand(3, -1, -1)) == 1
    assert MultiLabel.agreement(torch.stack([z[0], -z[0]])) == 0
    assert build_task('classification').name == 'classification'


def test_a_collector_says_what_it_is_for():
    collector = build_collector('naive')
    with pytest.raises(ValueError, match='Invalid `collector`: .*got NaiveColl'):
        collector.use_task(MultiLabel())


def test_heads_of_the_zoo_train():
    """CSRA's, on features that are not pooled."""
    csra = network()
    csra.pop('neck')
    csra['head'] = dict(
        type='CSRAClsHead',
        num_classes=10,
        in_channels=32,
        num_heads=2,
        lam=0.1,
        loss=dict(type='CrossEntropyLoss', use_sigmoid=True),
    )
    model = distil(architecture=csra, teacher=multi_label(34))
    assert model.task.name == 'multi_label'
    data = model.train().data_preprocessor(several(digits()), True)
    losses = model(**data, mode='loss')
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    for student in model.cohort.students.values():
        assert student.head.csra_heads[0].head.weight.grad.any()
