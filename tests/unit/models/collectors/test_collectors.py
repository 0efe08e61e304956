# Copyright (c) mmdckd contributors. All rights reserved.
"""Every collector against its formula, written out with plain loops."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mmdckd.models.collectors import (
    ConfidenceCollector,
    CrossEntropyCollector,
    FoldCollector,
    LogitMeanCollector,
    MaxCollector,
    MeanCollector,
    MinLogitCollector,
    NaiveCollector,
    build_collector,
)
from mmdckd.models.losses import DCKDLoss
from mmdckd.registry import MODELS

#: Those with a closed formula, and all that need no more than a name.
CLOSED = (
    'mean',
    'max',
    'logit_mean',
    'min_logit',
    'naive',
    'confidence',
    'cross_entropy',
)
NAMES = (*CLOSED, 'linear')
TAU = 3.0
properties = settings(deadline=None, max_examples=30)


def softmax(row):
    top = max(row)
    exps = [math.exp(x - top) for x in row]
    return [x / sum(exps) for x in exps]


def collect_row(name, members, label):
    """Collect from members, each the logits of one image; label is soft."""
    classes = range(len(label))
    if name == 'logit_mean':
        return softmax(
            [sum(z[c] for z in members) / len(members) / TAU for c in classes]
        )
    if name == 'min_logit':
        margins = [
            [z[c] - sum(y * x for y, x in zip(label, z)) for c in classes]
            for z in members
        ]
        return softmax([min(m[c] for m in margins) / TAU for c in classes])
    probs = [softmax([x / TAU for x in z]) for z in members]
    if name in ('naive', 'confidence', 'cross_entropy'):
        return judge_row(name, members, probs, label)
    if name == 'mean':
        return [sum(p[c] for p in probs) / len(probs) for c in classes]
    largest = [max(p[c] for p in probs) for c in classes]
    return [x / sum(largest) for x in largest]


def judge_row(name, members, probs, label):
    """Weights by how well unsoftened members predict the label."""
    sharp = [softmax(z) for z in members]
    losses = [-sum(y * math.log(x) for y, x in zip(label, p)) for p in sharp]
    number = len(members)
    if name == 'naive':
        weights = [float(j == losses.index(min(losses))) for j in range(number)]
    elif name == 'confidence':
        weights = [sum(y * x for y, x in zip(label, p)) for p in sharp]
        weights = [w / sum(weights) for w in weights]
    elif number == 1:
        weights = [1.0]
    else:
        total = sum(math.exp(loss) for loss in losses)
        weights = [(1 - math.exp(loss) / total) / (number - 1) for loss in losses]
    return [sum(w * p[c] for w, p in zip(weights, probs)) for c in range(len(label))]


def reference(name, students, teachers, labels, include_self, include_teacher):
    num_students, batch_size, num_classes = students.shape
    if labels.ndim == 1:
        labels = torch.nn.functional.one_hot(labels, num_classes)
    targets = torch.zeros_like(students)
    for i in range(num_students):
        for b in range(batch_size):
            members = [
                students[j, b].tolist()
                for j in range(num_students)
                if j != i or include_self
            ]
            if include_teacher:
                members += [teacher[b].tolist() for teacher in teachers]
            targets[i, b] = torch.tensor(collect_row(name, members, labels[b].tolist()))
    return targets


def log_soften(logits):
    return (logits / TAU).log_softmax(-1)


def random_batch(num_students=3, num_teachers=1, soft=False, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape, options = (4, 6), dict(generator=generator, dtype=torch.float64)
    students = 5 * torch.randn(num_students, *shape, **options)
    teachers = 5 * torch.randn(num_teachers, *shape, **options)
    labels = torch.randint(6, (4,), generator=generator)
    if soft:
        labels = torch.rand(shape, **options)
        labels /= labels.sum(-1, keepdim=True)
    return students, teachers, labels


def logits_of(num_students, batch_size, num_classes, bound=30.0):
    return arrays(
        'float64',
        (num_students, batch_size, num_classes),
        elements=st.floats(-bound, bound),
    ).map(torch.from_numpy)


@st.composite
def cohorts(draw, least=2, bound=30.0):
    """Logits (N, B, C) and labels."""
    num_students, batch_size, num_classes = (
        draw(st.integers(least, 5)),
        draw(st.integers(1, 3)),
        draw(st.integers(2, 6)),
    )
    logits = draw(logits_of(num_students, batch_size, num_classes, bound))
    labels = draw(
        st.lists(
            st.integers(0, num_classes - 1), min_size=batch_size, max_size=batch_size
        )
    )
    return logits, torch.tensor(labels)


@pytest.mark.parametrize('name', CLOSED)
@pytest.mark.parametrize('include_self', [False, True])
@pytest.mark.parametrize('num_teachers', [0, 1, 2])
@pytest.mark.parametrize('num_students', range(1, 9))
def test_formula(name, include_self, num_teachers, num_students):
    soft = num_students % 2 == 0
    students, teachers, labels = random_batch(num_students, num_teachers, soft)
    include_teacher = num_teachers > 0
    collector = build_collector(
        dict(type=name, include_self=include_self, include_teacher=include_teacher)
    )
    args = (
        log_soften(students).exp(),
        log_soften(students),
        log_soften(teachers) if include_teacher else None,
        labels,
        TAU,
    )
    if num_students == 1 and not include_self and not include_teacher:
        with pytest.raises(ValueError, match='needs peers'):
            collector(*args)
        return
    targets = collector(*args)
    torch.testing.assert_close(
        targets,
        reference(name, students, teachers, labels, include_self, include_teacher),
    )


@pytest.mark.parametrize('name', NAMES)
def test_a_teacher_outside_the_set_changes_nothing(name):
    students, teachers, labels = random_batch()
    collector, log_probs = build_collector(name), log_soften(students)
    torch.testing.assert_close(
        collector(None, log_probs, log_soften(teachers), labels),
        collector(None, log_probs, None, labels),
    )


@pytest.mark.parametrize('name', NAMES)
def test_one_teacher_needs_no_dimension_of_its_own(name):
    students, teachers, labels = random_batch()
    collector = build_collector(dict(type=name, include_teacher=True))
    log_probs, log_teacher = log_soften(students), log_soften(teachers)
    torch.testing.assert_close(
        collector(None, log_probs, log_teacher[0], labels),
        collector(None, log_probs, log_teacher, labels),
    )


@pytest.mark.parametrize('name', NAMES)
def test_probabilities_are_enough(name):
    students, _, labels = random_batch()
    collector, log_probs = build_collector(name), log_soften(students)
    torch.testing.assert_close(
        collector(log_probs.exp(), gt_labels=labels),
        collector(None, log_probs, gt_labels=labels),
    )


@pytest.mark.parametrize('name', NAMES)
def test_probabilities_of_zero(name):
    probs = torch.tensor([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]], [[0.0, 0.5, 0.5]]])
    targets = build_collector(name)(probs, gt_labels=torch.tensor([1]))
    assert targets.isfinite().all()
    torch.testing.assert_close(targets.sum(-1), torch.ones(3, 1))


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_collected_in_float32(name, dtype):
    students, _, labels = random_batch()
    probs = log_soften(students).exp().to(dtype)
    collector = build_collector(name)
    targets = collector(probs, gt_labels=labels)
    assert targets.dtype == torch.float32
    torch.testing.assert_close(targets, collector(probs.float(), gt_labels=labels))


@pytest.mark.parametrize('name', NAMES)
def test_targets_carry_no_gradient(name):
    students, _, labels = random_batch()
    log_probs = log_soften(students.requires_grad_())
    targets = build_collector(name)(log_probs.exp(), log_probs, None, labels)
    assert log_probs.requires_grad and not targets.requires_grad


@pytest.mark.parametrize('name', NAMES)
@given(cohort=cohorts(bound=1e4), include_self=st.booleans())
@properties
def test_rows_are_distributions(name, cohort, include_self):
    logits, labels = cohort
    collector = build_collector(dict(type=name, include_self=include_self))
    targets = collector(None, log_soften(logits).float(), None, labels)
    assert targets.shape == logits.shape
    assert targets.dtype == torch.float32
    assert (targets >= 0).all()
    torch.testing.assert_close(targets.sum(-1), torch.ones(logits.shape[:2]))


def no_ties(log_probs, labels):
    """Rounding decides between members that are equally good."""
    losses = -log_probs[:, torch.arange(len(labels)), labels]
    return (losses.sort(0)[0].diff(dim=0) > 1e-9).all()


@pytest.mark.parametrize('name', NAMES)
@given(cohort=cohorts(), data=st.data())
@properties
def test_equivariant_to_permutations(name, cohort, data):
    logits, labels = cohort
    num_students, _, num_classes = logits.shape
    students = data.draw(st.permutations(range(num_students)))
    classes = data.draw(st.permutations(range(num_classes)))
    collector = build_collector(name)
    log_probs = log_soften(logits)
    if name == 'naive':
        assume(no_ties(log_probs, labels))
    targets = collector(None, log_probs, None, labels)
    new_label = torch.tensor(classes).argsort()[labels]
    torch.testing.assert_close(
        collector(None, log_probs[students][..., classes], None, new_label),
        targets[students][..., classes],
        **({} if name != 'linear' else dict(rtol=1e-4, atol=1e-4)),
    )


@given(cohorts())
@properties
def test_the_mean_is_richer_than_its_members(cohort):
    log_probs = log_soften(cohort[0])
    entropy = torch.special.entr(log_probs.exp()).sum(-1)
    others = (entropy.sum(0) - entropy) / (len(entropy) - 1)
    targets = MeanCollector()(None, log_probs)
    assert (torch.special.entr(targets).sum(-1) >= others - 1e-12).all()


@given(cohorts())
@properties
def test_the_mean_of_log_probs_is_the_mean_of_logits(cohort):
    logits = cohort[0]
    expected = torch.stack(
        [torch.cat([logits[:i], logits[i + 1 :]]).mean(0) for i in range(len(logits))]
    )
    torch.testing.assert_close(
        LogitMeanCollector()(None, log_soften(logits)), (expected / TAU).softmax(-1)
    )


@given(cohorts())
@properties
def test_a_plausible_class_survives_the_maximum(cohort):
    probs = log_soften(cohort[0]).exp()
    targets = MaxCollector()(None, log_soften(cohort[0]))
    peers = len(probs) - 1
    for i in range(len(probs)):
        others = torch.cat([probs[:i], probs[i + 1 :]])
        # The largest probabilities sum to at most the number of peers.
        assert (targets[i] >= others.amax(0) / peers - 1e-12).all()


@pytest.mark.parametrize('name', NAMES)
def test_one_hot_labels_are_labels(name):
    students, _, labels = random_batch()
    log_probs, collector = log_soften(students), build_collector(name)
    one_hot = torch.nn.functional.one_hot(labels, 6).double()
    torch.testing.assert_close(
        collector(None, log_probs, None, one_hot),
        collector(None, log_probs, None, labels),
    )


@pytest.mark.parametrize('name', NAMES)
def test_soft_labels_of_whole_numbers(name):
    """One-hot labels of any type are labels too."""
    students, _, labels = random_batch()
    log_probs, collector = log_soften(students), build_collector(name)
    one_hot = torch.nn.functional.one_hot(labels, 6)
    torch.testing.assert_close(
        collector(None, log_probs, None, one_hot),
        collector(None, log_probs, None, labels),
    )


def test_members_that_are_equally_good_share():
    """Two are certain of the label, to the last bit."""
    logits = torch.tensor([[[40.0, 0.0, 1.0]], [[40.0, 1.0, 0.0]], [[0.0, 5.0, 5.0]]])
    labels = torch.tensor([0])
    targets = NaiveCollector(include_self=True)(
        None, logits.log_softmax(-1), None, labels
    )
    expected = logits[:2].softmax(-1).mean(0).expand(3, 1, 3)
    torch.testing.assert_close(targets, expected, rtol=1e-5, atol=0.0)


def test_members_are_judged_unsoftened():
    first, second = ([1.0, 0.0, -8.0, -8.0, -8.0, -8.0], [1.2, 0.0, *[-30.0] * 4])
    logits = torch.tensor([[first], [second], [[0.0] * 6]])
    label = torch.tensor([1])
    sharp, soft = [-(logits / tau).log_softmax(-1)[:2, 0, 1] for tau in (1, 8)]
    assert sharp[0] < sharp[1] and soft[0] > soft[1]
    targets = NaiveCollector()(None, (logits / 8).log_softmax(-1), None, label, 8.0)
    torch.testing.assert_close(targets[2], (logits[0] / 8).softmax(-1))


@pytest.mark.parametrize('name', ['mean', 'logit_mean', 'confidence'])
def test_leaving_out_does_not_cancel(name):
    """A student that is certain hides nothing of its peers' small numbers."""
    logits = torch.tensor(
        [[[80.0, 0.0, 0.0]], [[0.0, 60.0, 61.0]], [[0.0, 62.0, 61.0]]]
    )
    labels = torch.tensor([0])
    targets = build_collector(name)(None, log_soften(logits), None, labels, TAU)
    expected = reference(name, logits.double(), [], labels, False, False)
    torch.testing.assert_close(targets, expected.float(), rtol=1e-5, atol=0.0)
    assert 0 < targets[0, 0, 0] < 1e-8


class CountingMean(MeanCollector):
    folds = 0

    def fold(self, a, b):
        self.folds += a[..., 0].numel()
        return super().fold(a, b)


@pytest.mark.parametrize('num_students', [2, 5, 16, 64])
def test_the_cost_is_linear(num_students):
    collector = CountingMean()
    collector(torch.full((num_students, 1, 4), 0.25))
    assert collector.folds <= 3 * num_students


@MODELS.register_module()
class RootMeanSquareCollector(FoldCollector):
    """All that somebody has to write for a collector of their own."""

    def values(self, log_probs, gt_labels, tau):
        return (2 * log_probs).exp()

    def fold(self, a, b):
        return a + b

    def normalize(self, folded, size):
        return folded.sqrt() / folded.sqrt().sum(-1, keepdim=True)


def test_a_new_collector_is_one_class():
    students = random_batch()[0]
    loss = DCKDLoss(
        alpha=0, gamma=0, collector=dict(type='root_mean_square', include_self=True)
    )
    assert isinstance(loss.collector, RootMeanSquareCollector)
    assert (loss(students)['collective'] > 0).all()
    targets = RootMeanSquareCollector()(None, log_soften(students))
    squares = (
        log_soften(students[1]).exp() ** 2 + log_soften(students[2]).exp() ** 2
    ).sqrt()
    torch.testing.assert_close(targets[0], squares / squares.sum(-1, keepdim=True))


@pytest.mark.parametrize(
    'collector, cls',
    [
        ('mean', MeanCollector),
        ('max', MaxCollector),
        ('logit_mean', LogitMeanCollector),
        ('min_logit', MinLogitCollector),
        ('naive', NaiveCollector),
        ('confidence', ConfidenceCollector),
        ('cross_entropy', CrossEntropyCollector),
        ('MeanCollector', MeanCollector),
        ('mmdckd.MaxCollector', MaxCollector),
        (dict(type='mmdckd.MeanCollector'), MeanCollector),
        (dict(type='MaxCollector', _scope_='mmrazor'), MaxCollector),
        (dict(type=MinLogitCollector), MinLogitCollector),
    ],
)
def test_build(collector, cls):
    built = build_collector(collector)
    assert type(built) is cls
    assert not built.include_self and not built.include_teacher


def test_build_passes_options_and_keeps_what_is_built():
    cfg = dict(type='mean', include_self=True, include_teacher=True)
    built = build_collector(cfg)
    assert built.include_self and built.include_teacher
    assert cfg['type'] == 'mean'
    assert build_collector(built) is built


def test_unknown_collectors():
    with pytest.raises(ValueError, match="`collector`.*'maen'.*'mean'"):
        build_collector('maen')
    with pytest.raises(ValueError, match="MaxColector'.*'MaxCollector'"):
        build_collector(dict(type='mmdckd.MaxColector'))
    with pytest.raises(TypeError, match='Invalid `collector`: expected a name'):
        build_collector(3)
    with pytest.raises(TypeError, match='Invalid `collector`: expected a name'):
        build_collector(dict(include_self=True))
    with pytest.raises(TypeError, match='got that of a DCKDLoss'):
        build_collector('DCKDLoss')


def test_errors():
    probs, labels = torch.full((2, 3, 4), 0.25), torch.tensor([0, 1, 2])
    with pytest.raises(ValueError, match='needs peers'):
        MeanCollector()(probs[:1])
    with pytest.raises(ValueError, match='expected False without a teacher'):
        MeanCollector(include_teacher=True)(probs)
    with pytest.raises(ValueError, match=r'\(3, 4\), got \(3, 5\)'):
        MeanCollector()(probs, teacher_log_probs=torch.zeros(3, 5))
    with pytest.raises(ValueError, match=r'\(N, B, C\).*\(3, 4\)'):
        MeanCollector()(probs[0])
    with pytest.raises(ValueError, match='`gt_labels`: .*got None'):
        MinLogitCollector()(probs)
    with pytest.raises(ValueError, match='from 0 to 3, the 4 classes.*got 4'):
        MinLogitCollector()(probs, gt_labels=labels + 2)
    with pytest.raises(ValueError, match='`gt_labels`: .*got -1'):
        MinLogitCollector()(probs, gt_labels=labels - 1)
    with pytest.raises(ValueError, match=r'shape \(2,\)'):
        MinLogitCollector()(probs, gt_labels=labels[:2])
    with pytest.raises(ValueError, match='float32 of shape'):
        MinLogitCollector()(probs, gt_labels=labels.float())
    with pytest.raises(ValueError, match='sums to 1, got.* sums of 4 to 4'):
        MinLogitCollector()(probs, gt_labels=torch.ones(3, 4))
    with pytest.raises(ValueError, match='entries from -1'):
        MinLogitCollector()(probs, gt_labels=torch.tensor([[2.0, -1.0, 0.0, 0.0]] * 3))
