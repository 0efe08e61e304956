# Copyright (c) mmdckd contributors. All rights reserved.
"""DCKDLoss against its formula, its reductions and its properties."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch.utils._python_dispatch import TorchDispatchMode

from mmdckd.models.collectors import MeanCollector, build_collector
from mmdckd.models.losses import DCKDLoss, entropy
from mmdckd.registry import MODELS

COLLECTORS = ('mean', 'max', 'logit_mean', 'min_logit')
#: Those that have a test of their formula of their own too.
ALL_COLLECTORS = (*COLLECTORS, 'naive', 'linear', 'confidence', 'cross_entropy')
properties = settings(deadline=None, max_examples=30)


def softmax(row, tau):
    top = max(row)
    exps = [math.exp((x - top) / tau) for x in row]
    return [x / sum(exps) for x in exps]


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q))


def collect(name, peers, y, tau):
    """The four collectors, for one image: peers' logits to a target."""
    number, classes = len(peers), range(len(y))
    if name == 'logit_mean':
        return softmax([sum(z[c] for z in peers) / number for c in classes], tau)
    if name == 'min_logit':
        return softmax(
            [
                min(z[c] - sum(w * x for w, x in zip(y, z)) for z in peers)
                for c in classes
            ],
            tau,
        )
    probs = [softmax(z, tau) for z in peers]
    if name == 'mean':
        return [sum(p[c] for p in probs) / number for c in classes]
    largest = [max(p[c] for p in probs) for c in classes]
    return [x / sum(largest) for x in largest]


def reference(
    students,
    teachers,
    labels,
    alpha=1.0,
    beta=1.0,
    gamma=0.1,
    tau=4.0,
    collector='logit_mean',
    correlation='all',
):
    """The loss of METHOD, an image, a student and a class at a time."""
    num_students, batch_size, num_classes = students.shape
    if labels.ndim == 1:
        labels = F.one_hot(labels, num_classes)
    rows = dict(teacher=[], collective=[], correlation=[])
    for i in range(num_students):
        total = dict.fromkeys(rows, 0.0)
        for b in range(batch_size):
            y = labels[b].tolist()
            p = softmax(students[i, b].tolist(), tau)
            given = [softmax(t[b].tolist(), tau) for t in teachers]
            teacher = [sum(column) / len(given) for column in zip(*given)]
            peers = [students[j, b].tolist() for j in range(num_students) if j != i]
            q = p
            if correlation == 'non_target':
                q = [x * (1 - w) for x, w in zip(p, y)]
                q = [x / sum(q) for x in q]
            total['teacher'] += alpha * tau**2 * kl(teacher, p)
            total['collective'] += (
                beta * tau**2 * kl(collect(collector, peers, y, tau), p)
            )
            total['correlation'] -= gamma * -sum(x * math.log(x) for x in q if x > 0)
        for term in rows:
            rows[term].append(total[term] / batch_size)
    return {term: torch.tensor(row, dtype=torch.float64) for term, row in rows.items()}


def random_batch(
    num_students=3, batch_size=4, num_classes=6, num_teachers=1, soft=False, seed=0
):
    generator = torch.Generator().manual_seed(seed)
    options = dict(generator=generator, dtype=torch.float64)
    shape = (batch_size, num_classes)
    students = 5 * torch.randn(num_students, *shape, **options)
    teachers = 5 * torch.randn(num_teachers, *shape, **options)
    labels = torch.randint(num_classes, (batch_size,), generator=generator)
    if soft:
        labels = torch.rand(shape, **options)
        labels /= labels.sum(-1, keepdim=True)
    return students, teachers, labels


def total(losses):
    return sum(values.sum() for values in losses.values())


@st.composite
def batches(draw, elements=None):
    """Logits of students and teacher, and labels."""
    num_students, batch_size, num_classes = (
        draw(st.integers(2, 5)),
        draw(st.integers(1, 3)),
        draw(st.integers(2, 6)),
    )
    logits = draw(
        arrays(
            'float64',
            (num_students + 1, batch_size, num_classes),
            elements=elements or st.floats(-30.0, 30.0),
        )
    )
    labels = draw(
        st.lists(
            st.integers(0, num_classes - 1), min_size=batch_size, max_size=batch_size
        )
    )
    *students, teacher = torch.from_numpy(logits)
    return torch.stack(students), teacher, torch.tensor(labels)


# ------------------------------ the formula ------------------------------ #


@pytest.mark.parametrize('collector', COLLECTORS)
@pytest.mark.parametrize('correlation', ['all', 'non_target'])
@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('num_students, num_teachers', [(2, 1), (3, 2), (5, 3), (8, 1)])
def test_formula(collector, correlation, soft, num_students, num_teachers):
    students, teachers, labels = random_batch(
        num_students, num_teachers=num_teachers, soft=soft
    )
    options = dict(
        alpha=0.7,
        beta=1.3,
        gamma=0.2,
        tau=2.5,
        collector=collector,
        correlation=correlation,
    )
    torch.testing.assert_close(
        DCKDLoss(**options)(students, teachers, labels),
        reference(students, teachers, labels, **options),
    )


def test_defaults():
    students, teachers, labels = random_batch()
    torch.testing.assert_close(
        MODELS.build(dict(type='mmdckd.DCKDLoss'))(students, teachers, labels),
        reference(students, teachers, labels),
    )


@pytest.mark.parametrize('collector', COLLECTORS)
@pytest.mark.parametrize('correlation', ['all', 'non_target'])
@pytest.mark.parametrize('soft', [False, True])
@pytest.mark.parametrize('term', DCKDLoss.TERMS)
def test_gradient(collector, correlation, soft, term):
    """Against finite differences of what each student's value is."""
    students, teachers, labels = random_batch(3, 2, 4, 2, soft)
    loss = DCKDLoss(gamma=0.5, tau=2.0, collector=collector, correlation=correlation)
    for i in range(3):

        def value(logits, i=i):
            cohort = [*students[:i], logits, *students[i + 1 :]]
            return loss(cohort, teachers, labels)[term][i]

        assert torch.autograd.gradcheck(value, students[i].clone().requires_grad_())


def test_gradients_of_terms_add_up():
    students, teachers, labels = random_batch()
    students.requires_grad_()
    losses = DCKDLoss()(students, teachers, labels)
    (whole,) = torch.autograd.grad(total(losses), students, retain_graph=True)
    parts = [
        torch.autograd.grad(values.sum(), students, retain_graph=True)[0]
        for values in losses.values()
    ]
    torch.testing.assert_close(whole, sum(parts))
    assert all(part.abs().max() > 1e-4 for part in parts)


@pytest.mark.parametrize('correlation', ['all', 'non_target'])
def test_double_backward(correlation):
    """As a gradient penalty needs it."""
    students, teachers, labels = random_batch(2, 2, 4)
    loss = DCKDLoss(gamma=0.5, tau=2.0, correlation=correlation)

    def value(logits):
        cohort = [logits, students[1]]
        return sum(values[0] for values in loss(cohort, teachers, labels).values())

    assert torch.autograd.gradgradcheck(value, students[0].clone().requires_grad_())


# ----------------------------- the reductions ---------------------------- #


@pytest.mark.parametrize('tau', [1.0, 4.0])
def test_one_student_is_hinton(tau):
    students, teachers, _ = random_batch(1)
    students.requires_grad_()
    losses = DCKDLoss(alpha=0.8, beta=0, gamma=0, tau=tau)(students, teachers)
    expected = (
        0.8
        * tau**2
        * F.kl_div(
            F.log_softmax(students[0] / tau, -1),
            F.softmax(teachers[0] / tau, -1),
            reduction='batchmean',
        )
    )
    assert list(losses) == ['teacher']
    torch.testing.assert_close(losses['teacher'], expected.reshape(1))
    torch.testing.assert_close(
        torch.autograd.grad(total(losses), students),
        torch.autograd.grad(expected, students),
    )


@pytest.mark.parametrize('num_students', range(2, 9))
def test_without_a_teacher_it_is_deep_mutual_learning(num_students):
    students, _, _ = random_batch(num_students)
    students.requires_grad_()
    loss = DCKDLoss(alpha=0, gamma=0, tau=1, collector='mean')
    losses = loss(students)
    assert list(losses) == ['collective']
    mutual = torch.stack(
        [
            sum(
                F.kl_div(
                    F.log_softmax(students[i], -1),
                    F.softmax(students[j].detach(), -1),
                    reduction='batchmean',
                )
                for j in range(num_students)
                if j != i
            )
            / (num_students - 1)
            for i in range(num_students)
        ]
    )
    torch.testing.assert_close(
        torch.autograd.grad(total(losses), students),
        torch.autograd.grad(mutual.sum(), students),
    )
    # What is between the values knows nothing of P_i: H(C_i) - mean_j H(P_j).
    probs = students.detach().softmax(-1)
    for i in range(num_students):
        peers = torch.cat([probs[:i], probs[i + 1 :]])
        constant = (
            torch.special.entr(peers.mean(0)).sum(-1)
            - torch.special.entr(peers).sum(-1).mean(0)
        ).mean()
        torch.testing.assert_close(
            mutual[i].detach() - losses['collective'][i].detach(), constant
        )


def test_min_logit_is_kdcl():
    """Its target is the softmax of the smallest margins of all students."""
    students, _, labels = random_batch(4)
    tau = 2.0
    losses = DCKDLoss(
        alpha=0, gamma=0, tau=tau, collector=dict(type='min_logit', include_self=True)
    )(students, gt_labels=labels)
    own = students[:, torch.arange(4), labels]
    target = ((students - own.unsqueeze(-1)).amin(0) / tau).softmax(-1)
    for i in range(4):
        torch.testing.assert_close(
            losses['collective'][i],
            tau**2
            * F.kl_div(
                (students[i] / tau).log_softmax(-1), target, reduction='batchmean'
            ),
        )


def test_all_weights_0_is_plain_training():
    loss = DCKDLoss(alpha=0, beta=0, gamma=0)
    assert not loss.needs_teacher
    for num_students in range(1, 4):
        students, teachers, labels = random_batch(num_students)
        assert loss(students, teachers, labels) == {}
        assert loss(students) == {}


@pytest.mark.parametrize('collector', ALL_COLLECTORS)
@pytest.mark.parametrize('num_students', [2, 5, 8])
@pytest.mark.parametrize('num_classes', [10, 1000])
def test_equal_students_teach_each_other_nothing(collector, num_students, num_classes):
    student, _, labels = random_batch(1, 8, num_classes)
    students = student.float().expand(num_students, -1, -1)
    students = students.clone().requires_grad_()
    losses = DCKDLoss(alpha=0, gamma=0, collector=collector)(students, gt_labels=labels)
    assert losses['collective'].abs().max() < 2e-6
    losses['collective'].sum().backward()
    assert students.grad.abs().max() < 2e-6


# ----------------------------- the properties ---------------------------- #


@pytest.mark.parametrize('collector', COLLECTORS)
@pytest.mark.parametrize('correlation', ['all', 'non_target'])
@given(batch=batches(), data=st.data())
@properties
def test_equivariant_to_permutations(collector, correlation, batch, data):
    students, teacher, labels = batch
    num_students, _, num_classes = students.shape
    loss = DCKDLoss(collector=collector, correlation=correlation)
    losses = loss(students, teacher, labels)
    order = data.draw(st.permutations(range(num_students)))
    torch.testing.assert_close(
        loss(students[order], teacher, labels),
        {term: values[order] for term, values in losses.items()},
    )
    order = data.draw(st.permutations(range(num_classes)))
    new_label = torch.tensor(order).argsort()[labels]
    torch.testing.assert_close(
        loss(students[..., order], teacher[..., order], new_label), losses
    )


@pytest.mark.parametrize('collector', COLLECTORS)
@pytest.mark.parametrize('correlation', ['all', 'non_target'])
@given(batch=batches(), shift=st.integers(0, 2**32))
@properties
def test_invariant_to_a_shift_of_a_row(collector, correlation, batch, shift):
    students, teacher, labels = batch
    generator = torch.Generator().manual_seed(shift)
    options = dict(generator=generator, dtype=torch.float64)
    by_student = 100 * torch.randn(*students.shape[:2], 1, **options)
    by_teacher = 100 * torch.randn(len(teacher), 1, **options)
    loss = DCKDLoss(collector=collector, correlation=correlation)
    torch.testing.assert_close(
        loss(students + by_student, teacher + by_teacher, labels),
        loss(students, teacher, labels),
        rtol=1e-6,
        atol=1e-9,
    )


@pytest.mark.parametrize(
    'dtype',
    [
        torch.float32,
        pytest.param(torch.float16, marks=pytest.mark.slow),
        pytest.param(torch.bfloat16, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize('collector', ALL_COLLECTORS)
@given(
    batch=batches(elements=st.sampled_from([-1e4, 0.0, 1e4]) | st.floats(-1e4, 1e4)),
    tau=st.sampled_from([0.5, 1.0, 4.0]),
    correlation=st.sampled_from(['all', 'non_target']),
)
@properties
def test_finite_for_large_logits(dtype, collector, batch, tau, correlation):
    students, teacher, labels = batch
    students = students.to(dtype).requires_grad_()
    losses = DCKDLoss(
        tau=tau,
        collector=dict(type=collector, include_teacher=True),
        correlation=correlation,
    )(students, teacher.to(dtype), labels)
    for values in losses.values():
        assert values.dtype == torch.float32
        assert values.isfinite().all()
    assert (losses['teacher'] > -1e-4).all()
    assert (losses['collective'] > -1e-4).all()
    total(losses).backward()
    assert students.grad.dtype == dtype
    assert students.grad.isfinite().all()


@pytest.mark.parametrize('collector', ALL_COLLECTORS)
@pytest.mark.parametrize('include_self', [False, True])
@given(batch=batches())
@properties
def test_a_student_learns_from_its_own_loss_alone(collector, include_self, batch):
    students, teacher, labels = batch
    students.requires_grad_()
    teacher.requires_grad_()
    losses = DCKDLoss(
        collector=dict(type=collector, include_self=include_self, include_teacher=True)
    )(students, teacher, labels)
    for i in range(len(students)):
        value = sum(values[i] for values in losses.values())
        grad, of_teacher = torch.autograd.grad(
            value, [students, teacher], retain_graph=True, allow_unused=True
        )
        assert of_teacher is None
        assert not grad[:i].any() and not grad[i + 1 :].any()


def test_a_student_learns_from_its_own_loss():
    students, teachers, labels = random_batch()
    students.requires_grad_()
    total(DCKDLoss()(students, teachers, labels)).backward()
    assert (students.grad.abs().amax((1, 2)) > 1e-3).all()


# ------------------------------ correlation ------------------------------ #


def test_correlation_of_the_other_classes_alone():
    students, _, labels = random_batch(2)
    students.requires_grad_()
    loss = DCKDLoss(alpha=0, beta=0, gamma=1, correlation='non_target')
    values = loss(students, gt_labels=labels)['correlation']
    others = torch.ones(4, 6, dtype=torch.bool)
    others[torch.arange(4), labels] = False
    rest = torch.stack([z[others].reshape(4, 5) for z in students])
    torch.testing.assert_close(values, -entropy((rest / 4).log_softmax(-1)).mean(-1))
    values.sum().backward()
    assert students.grad[:, ~others].abs().max() < 1e-15
    assert students.grad[:, others].any()


@pytest.mark.parametrize('correlation', ['all', 'non_target'])
def test_correlation_grows(correlation):
    students, _, labels = random_batch(1)
    loss = DCKDLoss(alpha=0, beta=0, gamma=1, correlation=correlation)
    values = []
    for _ in range(20):
        students = students.detach().requires_grad_()
        value = loss(students, gt_labels=labels)['correlation'].sum()
        value.backward()
        students = students - 20 * students.grad
        values.append(-value.item())
    assert values == sorted(values)
    assert values[-1] > values[0] + 0.1


def test_labels_that_half_precision_rounds():
    """Mixup's weights in half precision may sum to a bit more than 1."""
    students, _, _ = random_batch(1, 2, 3)
    soft = torch.tensor([[1.001, 0.0, 0.0], [0.3, 0.7, 0.0]]).half()
    loss = DCKDLoss(alpha=0, beta=0, correlation='non_target')
    assert loss(students, gt_labels=soft)['correlation'].isfinite().all()


def test_entropy():
    probs = torch.tensor([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(
        entropy(probs.log().clamp_min(-1e30)),
        torch.tensor([1.5 * math.log(2), 0.0], dtype=torch.float64),
    )


# ------------------------- precision, cost, memory ----------------------- #


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_float32_under_autocast(dtype):
    students, teachers, labels = random_batch(num_classes=100)
    students, teachers = students.to(dtype), teachers.to(dtype)
    expected = DCKDLoss()(students.float(), teachers.float(), labels)
    with torch.autocast('cpu', torch.bfloat16):
        losses = DCKDLoss()(students, teachers, labels)
    torch.testing.assert_close(losses, expected, rtol=0, atol=0)


class MatmulCollector(MeanCollector):
    """A collector with an operation that autocast would take."""

    def values(self, log_probs, gt_labels, tau):
        return super().values(log_probs, gt_labels, tau) @ torch.eye(100)


def test_collectors_are_in_float32_under_autocast():
    students, teachers, labels = random_batch(num_classes=100)
    students, teachers = students.float(), teachers.float()
    with torch.autocast('cpu', torch.bfloat16):
        losses = DCKDLoss(collector=MatmulCollector())(students, teachers, labels)
    torch.testing.assert_close(
        losses, DCKDLoss(collector='mean')(students, teachers, labels)
    )


def test_float32_is_close_to_float64():
    students, teachers, labels = random_batch(8, 16, 1000)
    exact = DCKDLoss()(students.float().double(), teachers.float().double(), labels)
    losses = DCKDLoss()(students.float(), teachers.float(), labels)
    for term, values in losses.items():
        torch.testing.assert_close(values.double(), exact[term], rtol=1e-5, atol=1e-6)


def test_students_and_teacher_may_differ_in_precision():
    students, teachers, labels = random_batch(3)
    mixed = [students[0].half(), students[1].float(), students[2].float()]
    mixed = [z.requires_grad_() for z in mixed]
    losses = DCKDLoss()(mixed, teachers[0].bfloat16(), labels)
    total(losses).backward()
    for z in mixed:
        assert z.grad.dtype == z.dtype and z.grad.any()


class CountSoftmax(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.rows = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten._log_softmax.default:
            self.rows += args[0].numel() // args[0].shape[-1]
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize('num_students', [2, 8])
def test_one_log_softmax_a_member(num_students):
    students, teachers, labels = random_batch(num_students, num_teachers=2)
    with CountSoftmax() as count:
        total(DCKDLoss()(students.requires_grad_(), teachers, labels)).backward()
    assert count.rows == (num_students + 2) * 4


# --------------------------- shapes and cohorts -------------------------- #


def test_sequences_and_stacks_are_the_same():
    students, teachers, labels = random_batch(num_teachers=2)
    loss = DCKDLoss()
    expected = loss(students, teachers, labels)
    for preds_S in (list(students), tuple(students)):
        for preds_T in (list(teachers), tuple(teachers)):
            torch.testing.assert_close(
                loss(preds_S, preds_T, labels), expected, rtol=0, atol=0
            )
    torch.testing.assert_close(
        loss(students, teachers[0], labels),
        loss(students, teachers[:1], labels),
        rtol=0,
        atol=0,
    )


def test_teachers_are_detached():
    students, teachers, _ = random_batch(num_teachers=2)
    teachers.requires_grad_()
    for preds_T in (teachers, teachers[0], list(teachers)):
        split = DCKDLoss.split_teachers(preds_T, students)
        assert not any(logits.requires_grad for logits in split)


@pytest.mark.parametrize('collector', COLLECTORS)
@pytest.mark.parametrize('num_teachers', [1, 2])
def test_teachers_may_see_the_view_of_each_student(collector, num_teachers):
    """Student i learns as if its own view's teachers were the teachers."""
    students, _, labels = random_batch(3)
    views = torch.stack(
        [random_batch(num_teachers, seed=i + 1)[0] for i in range(3)], 1
    )
    loss = DCKDLoss(collector=dict(type=collector, include_teacher=True))
    students.requires_grad_()
    losses = loss(students, views, labels)
    (grad,) = torch.autograd.grad(total(losses), students)
    for i in range(3):
        own = loss(students, views[:, i], labels)
        for term, values in losses.items():
            torch.testing.assert_close(values[i], own[term][i])
        (own_grad,) = torch.autograd.grad(
            sum(values[i] for values in own.values()), students
        )
        torch.testing.assert_close(grad[i], own_grad[i])


def test_every_teacher_is_collected_from():
    students, teachers, labels = random_batch(2, num_teachers=2)
    losses = DCKDLoss(
        alpha=0, gamma=0, tau=1, collector=dict(type='mean', include_teacher=True)
    )(students, teachers)
    probs = torch.cat([students[1:], teachers]).softmax(-1)
    torch.testing.assert_close(
        losses['collective'][0],
        F.kl_div(students[0].log_softmax(-1), probs.mean(0), reduction='batchmean'),
    )


@pytest.mark.parametrize('collector', ALL_COLLECTORS)
@pytest.mark.parametrize('soft', [False, True])
def test_teachers_are_collected_as_peers_are(collector, soft):
    """The teachers' target is what a student collects of equal peers."""
    students, teachers, labels = random_batch(1, num_teachers=3, soft=soft)
    tau = 2.0
    losses = DCKDLoss(beta=0, gamma=0, tau=tau, teacher_collector=collector)(
        students, teachers, labels
    )
    target = build_collector(collector)(
        None, (torch.cat([students, teachers]) / tau).log_softmax(-1), None, labels, tau
    )[0]
    expected = tau**2 * F.kl_div(
        (students[0] / tau).log_softmax(-1), target, reduction='batchmean'
    )
    torch.testing.assert_close(losses['teacher'], expected.reshape(1))


@pytest.mark.parametrize('collector', ALL_COLLECTORS)
@pytest.mark.parametrize('soft', [False, True])
def test_teachers_are_collected_view_by_view(collector, soft):
    students, teachers, labels = random_batch(2, num_teachers=6, soft=soft)
    teachers = teachers.unflatten(0, (3, 2))
    loss = DCKDLoss(beta=0, gamma=0, teacher_collector=collector)
    losses = loss(students, teachers, labels)
    for i in range(2):
        torch.testing.assert_close(
            losses['teacher'][i : i + 1],
            loss(students[i : i + 1], teachers[:, i], labels)['teacher'],
            rtol=1e-5,
            atol=1e-6,
        )


def test_teachers_with_weights():
    students, teachers, labels = random_batch(2, num_teachers=2)
    weighted = dict(type='weighted', weights=[3.0, 1.0])
    losses = DCKDLoss(beta=0, gamma=0, tau=1.0, teacher_collector=weighted)(
        students, teachers
    )
    target = (3 * teachers[0].softmax(-1) + teachers[1].softmax(-1)) / 4
    for i in range(2):
        torch.testing.assert_close(
            losses['teacher'][i],
            F.kl_div(students[i].log_softmax(-1), target, reduction='batchmean'),
        )
    with pytest.raises(
        ValueError, match='`teacher_collector`: .*expected 3 weights.*got 2'
    ):
        DCKDLoss(teacher_collector=weighted).check_cohort(2, 3)


@pytest.mark.parametrize('key', ['include_self', 'include_teacher'])
def test_the_set_of_a_teacher_collector_is_all_teachers(key):
    with pytest.raises(
        ValueError, match=f'Invalid `teacher_collector`: expected no `{key}`'
    ):
        DCKDLoss(teacher_collector=dict(type='mean', **{key: True}))


@pytest.mark.parametrize('include_self', [False, True])
def test_peers_may_be_others_than_the_students(include_self):
    students, teachers, labels = random_batch(3)
    peers = random_batch(3, seed=1)[0].requires_grad_()
    students.requires_grad_()
    loss = DCKDLoss(tau=1.0, collector=dict(type='mean', include_self=include_self))
    losses = loss(students, teachers, labels, peers)
    probs = peers.detach().softmax(-1)
    for i in range(3):
        others = [j for j in range(3) if j != i or include_self]
        torch.testing.assert_close(
            losses['collective'][i],
            F.kl_div(
                students[i].log_softmax(-1),
                probs[others].mean(0),
                reduction='batchmean',
            ),
        )
    own = loss(students, teachers, labels)
    for term in ('teacher', 'correlation'):
        torch.testing.assert_close(losses[term], own[term])
    of_students, of_peers = torch.autograd.grad(
        total(losses), [students, peers], allow_unused=True
    )
    assert of_students.any() and of_peers is None
    torch.testing.assert_close(loss(students, teachers, labels, list(students)), own)
    with pytest.raises(
        ValueError, match=r'`preds_P`: expected 3 peers .*got \(2, 4, 6\)'
    ):
        loss(students, teachers, labels, peers[:2])


@pytest.mark.parametrize(
    'cfg, needed',
    [
        (dict(), True),
        (dict(alpha=0), False),
        (dict(alpha=0, collector=dict(type='mean', include_teacher=True)), True),
        (
            dict(alpha=0, beta=0, collector=dict(type='mean', include_teacher=True)),
            False,
        ),
    ],
)
def test_needs_teacher(cfg, needed):
    loss = DCKDLoss(**cfg)
    assert loss.needs_teacher is needed
    students, teachers, labels = random_batch()
    if needed:
        with pytest.raises(ValueError, match='without a teacher, got'):
            loss(students)
    else:
        torch.testing.assert_close(
            loss(students, torch.zeros(1), labels), loss(students, None, labels)
        )


def test_terms_of_weight_0_are_left_out():
    students, teachers, labels = random_batch()
    terms = dict(alpha='teacher', beta='collective', gamma='correlation')
    for key, term in terms.items():
        losses = DCKDLoss(**{key: 0})(students, teachers, labels)
        assert list(losses) == [t for t in DCKDLoss.TERMS if t != term]


def test_check_cohort():
    with pytest.raises(
        ValueError, match='Invalid `alpha`: expected 0 without a teacher'
    ):
        DCKDLoss().check_cohort(3, 0)
    with pytest.raises(
        ValueError, match='`collector`: Invalid `num_students`: .*needs peers'
    ):
        DCKDLoss().check_cohort(1, 1)
    alone = dict(type='mean', include_teacher=True)
    with pytest.raises(ValueError, match='`collector`: Invalid `include_teacher`'):
        DCKDLoss(alpha=0, collector=alone).check_cohort(3, 0)
    DCKDLoss(collector=alone).check_cohort(1, 1)
    DCKDLoss(beta=0).check_cohort(1, 1)
    DCKDLoss(alpha=0).check_cohort(2, 0)


# ----------------------------- wrong input ------------------------------- #


@pytest.mark.parametrize('key', ['alpha', 'beta', 'gamma'])
@pytest.mark.parametrize('value', [-1, float('nan'), float('inf'), '1', None])
def test_wrong_weights(key, value):
    with pytest.raises(ValueError, match=f'Invalid `{key}`: expected a weight'):
        DCKDLoss(**{key: value})


@pytest.mark.parametrize('value', [0, -4.0, float('nan'), '4'])
def test_wrong_tau(value):
    with pytest.raises(ValueError, match='Invalid `tau`: expected a temperature'):
        DCKDLoss(tau=value)


def test_wrong_options():
    with pytest.raises(ValueError, match="`correlation`: expected one of.*'none'"):
        DCKDLoss(correlation='none')
    with pytest.raises(ValueError, match="`collector`.*'max'"):
        DCKDLoss(collector='maxx')
    with pytest.raises(ValueError, match="`standardize`: .*, got 'False'"):
        DCKDLoss(standardize='False')
    with pytest.raises(ValueError, match='`ramp.by_epoch`: expected True or False'):
        DCKDLoss(ramp=dict(end=5, by_epoch='False'))
    with pytest.raises(ValueError, match='`ramp.terms`.*task'):
        DCKDLoss(ramp=dict(end=5, terms=('task',)))


def test_wrong_shapes():
    loss, (students, teachers, labels) = DCKDLoss(), random_batch()
    with pytest.raises(ValueError, match=r'\(4, 6\).*\(4, 5\)'):
        loss(students, teachers[0, :, :5], labels)
    with pytest.raises(ValueError, match=r'\(4, 6\).*\(1, 2, 6\)'):
        loss(students, teachers[:, :2], labels)
    with pytest.raises(ValueError, match=r'\[\(4, 6\), \(4, 5\)\]'):
        loss([students[0], students[1, :, :5]], teachers, labels)
    with pytest.raises(ValueError, match=r'`preds_S`: .*got \(4, 6\)'):
        loss(students[0], teachers, labels)
    with pytest.raises(ValueError, match=r'`preds_S`: .*got \[\]'):
        loss([], teachers, labels)


def test_wrong_labels():
    loss, (students, teachers, _) = DCKDLoss(), random_batch()
    with pytest.raises(ValueError, match='from 0 to 5, the 6 classes.*got 6'):
        loss(students, teachers, torch.tensor([0, 1, 6, 2]))
    with pytest.raises(ValueError, match='`gt_labels`: .*got -2'):
        loss(students, teachers, torch.tensor([0, -2, 5, 2]))
    # -1 stands for no label, where nothing looks at it.
    unlabeled = torch.tensor([0, -1, 5, 2])
    assert loss(students, teachers, unlabeled)
    with pytest.raises(ValueError, match='`gt_labels`: .*got -1'):
        DCKDLoss(correlation='non_target')(students, teachers, unlabeled)
    with pytest.raises(ValueError, match=r'shape \(3,\)'):
        loss(students, teachers, torch.tensor([0, 1, 2]))
    with pytest.raises(
        ValueError, match='`gt_labels`: .*labels for `correlation`, got None'
    ):
        DCKDLoss(correlation='non_target')(students, teachers)
    with pytest.raises(ValueError, match='`gt_labels`: .*got None'):
        DCKDLoss(collector='min_logit')(students, teachers)
    with pytest.raises(ValueError, match='1 class'):
        DCKDLoss(correlation='non_target')(
            students[..., :1], teachers[..., :1], torch.zeros(4).long()
        )
