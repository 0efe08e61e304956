# Copyright (c) mmdckd contributors. All rights reserved.
"""What students learn from the teacher alone: DKD, DIST, MLKD, WKD-L, and KD
with standardized logits, held to the authors' code and to their formulas.

The numbers in REFERENCE were computed once by running the authors' code, in
float64 (WKD in float32, as it casts), on the inputs that `batch()` writes out:

- DKD: megvii-research/mdistiller at a08d46f1, mdistiller/distillers/DKD.py,
  `dkd_loss`.
- KD and DKD with standardized logits: sunshangquan/logit-standardization-KD at
  f6e5aa51, mdistiller/distillers/KD.py and DKD.py, `logit_stand=True`.
- MLKD: the same, mdistiller/distillers/MLKD.py, `kd_loss`, `bc_loss` and
  `cc_loss` summed over the temperatures 2 to 6; Jin-Ying/
  Multi-Level-Logit-Distillation at 5ee473fc has the same functions.
- DIST: hunto/image_classification_sota at 6f7a70a1,
  lib/models/losses/dist_kd.py, `DIST`.
- WKD-L: JiamingLv/WKD at 214cf886, mdistiller/distillers/WKD.py,
  `wkd_logit_loss_with_speration`, with the distances that `COST_MATRIX: fc`
  and `COST_MATRIX_SHARPEN: 1.0` make of the last layer's weights.

Each is a value and the gradient of the first image's logits.
"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmrazor.models.losses import DISTLoss, DKDLoss

from mmdckd.models.losses import (
    CohortDISTLoss,
    CohortDKDLoss,
    DCKDLoss,
    MLKDLoss,
    TeacherLoss,
    WKDLoss,
    standardize,
)
from mmdckd.models.tasks import MultiLabel

IMAGES, CLASSES = 6, 5
LABELS = torch.tensor([0, 1, 2, 3, 4, 0])


def batch(dtype=torch.float64):
    """The logits of a student and of a teacher, and the teacher's weights."""

    def waves(scale, a, b, c):
        rows = [
            [scale * math.sin(a * i + b * j + c) for j in range(CLASSES)]
            for i in range(IMAGES)
        ]
        return torch.tensor(rows, dtype=torch.float64).to(dtype)

    weights = [[math.cos(1.3 * i + 0.7 * j) for j in range(4)] for i in range(CLASSES)]
    return (
        waves(3.0, 1.7, 2.3, 0.4),
        waves(5.0, 2.9, 1.1, 0.2),
        torch.tensor(weights, dtype=torch.float64),
    )


def wkd(**kwargs):
    loss = WKDLoss(**kwargs)
    loss.take_prototypes([batch()[2]])
    return loss


LOSSES = dict(dkd=CohortDKDLoss, dist=CohortDISTLoss, mlkd=MLKDLoss, wkd=wkd)
REFERENCE = [
    (
        CohortDKDLoss,
        dict(),
        'target',
        0.3758508064976553,
        [
            0.04095403539703421,
            -0.012175048955802287,
            -0.004304498220874867,
            -0.01672126470867705,
            -0.007753223511680039,
        ],
    ),
    (
        CohortDKDLoss,
        dict(),
        'non_target',
        63.29082006776847,
        [
            0.0,
            -1.1113514103053737,
            -1.320759330478402,
            1.6559540251373066,
            0.7761567156464705,
        ],
    ),
    (
        CohortDKDLoss,
        dict(alpha=9.0, beta=18.0, tau=2.0, standardize=True),
        None,
        17.641136661004452,
        [
            -0.10274987065601357,
            -0.44910301465183533,
            -0.07514792859746014,
            0.26268715794887937,
            0.3643136559564297,
        ],
    ),
    (
        DCKDLoss,
        dict(alpha=9.0, beta=0.0, gamma=0.0, tau=2.0, standardize=True),
        None,
        7.103793552382736,
        [
            -0.016172415631169605,
            -0.18876835299261768,
            -0.03223655560350764,
            0.09505374058968706,
            0.14212358363760788,
        ],
    ),
    (
        MLKDLoss,
        dict(),
        'instance',
        31.883151324072625,
        [
            0.19967874180619605,
            -0.633119488727289,
            -0.6712271882184045,
            0.7626524459353611,
            0.34201548920413644,
        ],
    ),
    (
        MLKDLoss,
        dict(),
        'batch',
        0.4584530137044442,
        [
            0.006278133755519536,
            -0.00115935316868939,
            -0.0016695403434456887,
            -0.0009316199253242628,
            -0.002517620318060196,
        ],
    ),
    (
        MLKDLoss,
        dict(standardize=True),
        'class',
        0.6810673204050743,
        [
            -0.005831824678966159,
            -0.019056500026172447,
            -0.00427704118194544,
            0.047686733104964005,
            -0.01852136721787996,
        ],
    ),
    (
        MLKDLoss,
        dict(standardize=True),
        'instance',
        4.081008025126401,
        [
            -0.011459933812239698,
            -0.1006344205235479,
            -0.026574221570498872,
            0.04504730236408741,
            0.09362127354219907,
        ],
    ),
    (
        CohortDISTLoss,
        dict(),
        'inter',
        32.13950060097448,
        [
            0.15433449983823122,
            -1.2622276803425274,
            -0.10826347254870115,
            0.5938029292018329,
            0.6223537238511643,
        ],
    ),
    (
        CohortDISTLoss,
        dict(),
        'intra',
        29.73933050530057,
        [
            0.06777350709959752,
            -1.3057988105239255,
            -0.12470067617202783,
            1.0262258144311809,
            0.3365001651651747,
        ],
    ),
    (
        wkd,
        dict(),
        'target',
        0.24899053573608398,
        [
            -0.0024297786876559258,
            0.000512830272782594,
            8.012737453100272e-06,
            0.0018245981773361564,
            8.433733455603942e-05,
        ],
    ),
    (
        wkd,
        dict(),
        None,
        13.357284545898438,
        [
            -0.0024297786876559258,
            -0.5946686863899231,
            0.008042453788220882,
            0.5398495197296143,
            0.04920656234025955,
        ],
    ),
    (
        wkd,
        dict(transport_weight=600.0, tau=8.0),
        None,
        42.47462463378906,
        [
            -0.0024297786876559258,
            -0.31678012013435364,
            -1.5280262231826782,
            1.8689156770706177,
            -0.02167942002415657,
        ],
    ),
]


@pytest.mark.parametrize('loss, settings, term, value, gradient', REFERENCE)
def test_values_of_the_authors_code(loss, settings, term, value, gradient):
    student, teacher, _ = batch()
    student.requires_grad_()
    losses = loss(**settings)(student[None], teacher, LABELS)
    found = losses[term] if term else sum(losses.values())
    single = loss is wkd  # their code computes in float32
    tolerance = dict(rtol=1e-6, atol=1e-6) if single else dict(rtol=1e-12, atol=1e-12)
    assert found.shape == (1,)
    assert found.item() == pytest.approx(value, rel=tolerance['rtol'])
    (grad,) = torch.autograd.grad(found, student)
    expected = torch.tensor(gradient, dtype=torch.float64)
    torch.testing.assert_close(grad[0], expected, **tolerance)


def softmax(row, tau=1.0):
    exps = [math.exp(x / tau) for x in row]
    return [x / sum(exps) for x in exps]


def kl(p, q):
    return sum(a * math.log(a / b) for a, b in zip(p, q))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def z_score(row):
    center = mean(row)
    squares = sum((x - center) ** 2 for x in row)
    deviation = math.sqrt(squares / (len(row) - 1))
    return [(x - center) / (deviation + 1e-7) for x in row]


def written_dkd(students, teachers, tau=4.0, beta=8.0):

    def parts(row, y):
        p = softmax(row, tau)
        others = [x for c, x in enumerate(p) if c != y]
        return [p[y], 1 - p[y]], [x / sum(others) for x in others]

    pairs = [
        (parts(t, y), parts(s, y))
        for s, t, y in zip(students, teachers, LABELS.tolist())
    ]
    return {
        'target': tau**2 * mean(kl(t[0], s[0]) for t, s in pairs),
        'non_target': beta * tau**2 * mean(kl(t[1], s[1]) for t, s in pairs),
    }


def written_dist(students, teachers, tau=4.0, weight=2.0):

    def pearson(a, b):
        a = [x - mean(a) for x in a]
        b = [x - mean(b) for x in b]
        squares = math.sqrt(sum(x * x for x in a) * sum(x * x for x in b))
        return sum(x * y for x, y in zip(a, b)) / (squares + 1e-8)

    p, t = [[softmax(row, tau) for row in z] for z in (students, teachers)]
    scale = weight * tau**2
    return dict(
        inter=scale * (1 - mean(map(pearson, p, t))),
        intra=scale * (1 - mean(map(pearson, zip(*p), zip(*t)))),
    )


def written_mlkd(students, teachers):
    sums = {'instance': 0.0, 'batch': 0.0, 'class': 0.0}
    for tau in (2.0, 3.0, 4.0, 5.0, 6.0):
        p, t = [[softmax(row, tau) for row in z] for z in (students, teachers)]
        sums['instance'] += tau**2 * mean(map(kl, t, p))
        for term, a, b in (('batch', p, t), ('class', [*zip(*p)], [*zip(*t)])):
            for i in range(len(a)):
                for j in range(len(a)):
                    ours = sum(x * y for x, y in zip(a[i], a[j]))
                    theirs = sum(x * y for x, y in zip(b[i], b[j]))
                    sums[term] += (theirs - ours) ** 2 / len(a)
    return sums


@pytest.mark.parametrize(
    'name, written',
    [('dkd', written_dkd), ('dist', written_dist), ('mlkd', written_mlkd)],
)
def test_formula(name, written):
    student, teacher, _ = batch()
    losses = LOSSES[name]()(student[None], teacher, LABELS)
    expected = written(student.tolist(), teacher.tolist())
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(expected)


def test_standardized_rows():
    student, _, _ = batch()
    expected = torch.tensor([z_score(row) for row in student.tolist()])
    torch.testing.assert_close(
        standardize(student), expected.double(), rtol=1e-6, atol=1e-6
    )
    half = standardize(student.half())
    assert half.dtype == torch.float32
    constant = torch.ones(2, 3, requires_grad=True)
    rows = standardize(constant)
    rows.sum().backward()
    assert not rows.any() and constant.grad.isfinite().all()


def test_transport_is_the_cheapest_when_it_converges():
    """With many steps it is nearly the optimum of the linear program, by
    scipy."""
    from scipy.optimize import linprog

    student, teacher, weights = batch()
    loss = wkd(transport_weight=1.0, num_iters=500)
    found = loss(student[None, :1], teacher[:1], LABELS[:1])['transport']
    others = [c for c in range(CLASSES) if c != LABELS[0]]
    start, end = [
        np.array(softmax(z[0, others].tolist(), 2.0)) for z in (student, teacher)
    ]
    directions = (weights / weights.norm(dim=1, keepdim=True)).numpy()
    costs = 1 - np.exp(-(1 - directions @ directions.T))[np.ix_(others, others)]
    number = len(others)
    margins = [np.kron(np.eye(number), np.ones(number))]
    margins += [np.kron(np.ones(number), np.eye(number))]
    optimum = linprog(
        costs.ravel(), A_eq=np.concatenate(margins), b_eq=np.concatenate([start, end])
    ).fun
    assert found.item() == pytest.approx(optimum, rel=1e-3)


def test_a_large_regularization_moves_probabilities_evenly():
    """The plan is then the product of both predictions, at any costs."""
    student, teacher, weights = batch()
    loss = wkd(transport_weight=1.0, sharpness=2.0, regularization=1e4)
    found = loss(student[None], teacher, LABELS)['transport']
    directions = weights / weights.norm(dim=1, keepdim=True)
    costs = 1 - torch.exp(-2 * (1 - directions @ directions.T))
    start, end = (
        (z / 2).scatter(1, LABELS[:, None], -math.inf).softmax(1)
        for z in (student, teacher)
    )
    expected = torch.einsum('ba,ac,bc->b', start, costs, end).mean()
    torch.testing.assert_close(found[0], expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize('scale', [1.0, 10.0])
def test_values_of_mmrazor(scale):
    student, teacher, _ = batch()
    student, teacher = scale * student, scale * teacher
    pairs = [
        (DISTLoss(2.0, 2.0, 4.0)(student, teacher), CohortDISTLoss()),
        (DKDLoss(tau=4.0, beta=8.0)(student, teacher, LABELS), CohortDKDLoss()),
    ]
    for theirs, loss in pairs:
        ours = sum(loss(student[None], teacher, LABELS).values())
        torch.testing.assert_close(ours[0], theirs)


def test_what_is_mended_of_mmrazor():
    """Here its losses are not finite, and its reductions are all sums; when
    one of these fails, MMRazor has changed and the docs with it."""
    student, teacher, _ = batch(torch.float16)
    student, teacher = 100 * student, 100 * teacher
    assert DISTLoss(tau=4.0)(student, teacher).isnan()
    assert DKDLoss(tau=4.0)(student.float(), teacher.float(), LABELS).isnan()
    for name in ('dist', 'dkd'):
        losses = LOSSES[name]()(student[None], teacher, LABELS)
        assert all(value.isfinite().all() for value in losses.values())
    student, teacher, _ = batch()
    mean, summed = (
        DKDLoss(reduction=name)(student, teacher, LABELS) for name in ('mean', 'sum')
    )
    assert torch.equal(mean, summed)


@pytest.mark.parametrize('name', LOSSES)
@settings(max_examples=20, deadline=None)
@given(
    order=st.permutations(range(3)),
    classes=st.permutations(range(CLASSES)),
    seed=st.integers(0, 1000),
)
def test_permutations(name, order, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    students = 3 * torch.randn(3, IMAGES, CLASSES, generator=generator).double()
    teacher = 3 * torch.randn(IMAGES, CLASSES, generator=generator).double()
    loss = LOSSES[name]()
    expected = loss(students, teacher, LABELS)
    permuted = loss(students[order], teacher, LABELS)
    for term, values in expected.items():
        torch.testing.assert_close(permuted[term], values[order])
    # What is called class 0 now was classes[0] before.
    if name == 'wkd':
        loss.take_prototypes([batch()[2][classes]])
    renamed = torch.tensor([classes.index(y) for y in LABELS.tolist()])
    permuted = loss(students[..., classes], teacher[:, classes], renamed)
    for term, values in expected.items():
        torch.testing.assert_close(permuted[term], values)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('scale', [0.0, 1.0, 1e2, 1e4])
@pytest.mark.parametrize('name', LOSSES)
def test_finite(name, scale, dtype):
    generator = torch.Generator().manual_seed(0)
    students = scale * torch.randn(2, IMAGES, CLASSES, generator=generator)
    teacher = scale * torch.randn(IMAGES, CLASSES, generator=generator)
    students = students.clamp(-1e4, 1e4).to(dtype).requires_grad_()
    teacher = teacher.clamp(-1e4, 1e4).to(dtype)
    kwargs = [dict()] if name == 'wkd' else [{}, dict(standardize=True)]
    for each in kwargs:
        losses = LOSSES[name](**each)(students, teacher, LABELS)
        for values in losses.values():
            assert values.dtype == torch.float32 and values.isfinite().all()
        (grad,) = torch.autograd.grad(sum(losses.values()).sum(), students)
        assert grad.isfinite().all()


@pytest.mark.parametrize('name', LOSSES)
def test_float32_under_autocast(name):
    student, teacher, _ = batch(torch.float32)
    loss = LOSSES[name]()
    expected = loss(student[None], teacher, LABELS)
    with torch.autocast('cpu', torch.bfloat16):
        losses = loss(student[None], teacher, LABELS)
    torch.testing.assert_close(losses, expected, rtol=0, atol=0)


@pytest.mark.parametrize('name', LOSSES)
def test_gradients(name):
    """They are those of finite differences, of the own logits alone."""
    student, teacher, _ = batch()
    students = torch.stack([student, student.flip(0)]).requires_grad_()
    teacher.requires_grad_()
    loss = LOSSES[name]()
    assert torch.autograd.gradcheck(
        lambda z: sum(loss(z, teacher.detach(), LABELS).values()), students
    )
    losses = loss(students, teacher, LABELS)
    for values in losses.values():
        grad, of_teacher = torch.autograd.grad(
            values[1], [students, teacher], retain_graph=True, allow_unused=True
        )
        assert of_teacher is None
        assert not grad[0].any() and grad[1].any()


@pytest.mark.parametrize('name', LOSSES)
def test_several_teachers_and_views(name):
    student, teacher, _ = batch()
    students = torch.stack([student, student.flip(1)])
    teachers = torch.stack([teacher, teacher.flip(0)])
    loss = LOSSES[name]()
    alone = [loss(students, each, LABELS) for each in teachers]
    together = loss(students, teachers, LABELS)
    for term in together:
        torch.testing.assert_close(
            together[term], (alone[0][term] + alone[1][term]) / 2
        )
    # One teacher, on each student's view.
    views = loss(students, teachers[None], LABELS)
    for term in views:
        expected = [alone[i][term][i] for i in range(2)]
        torch.testing.assert_close(views[term], torch.stack(expected))


@pytest.mark.parametrize('name', LOSSES)
def test_sources_and_weights(name):
    loss = LOSSES[name]()
    student, teacher, _ = batch()
    losses = loss(student[None], teacher, LABELS)
    assert loss.sources(0, ['a'], ['t']) == {term: ['t'] for term in losses}
    assert isinstance(loss, TeacherLoss) and loss.needs_teacher


def test_a_term_of_weight_0_is_left_out():
    student, teacher, _ = batch()
    loss = CohortDKDLoss(alpha=0.0)
    assert list(loss(student[None], teacher, LABELS)) == ['non_target']
    assert loss.sources(0, ['a'], ['t']) == dict(non_target=['t'])


@pytest.mark.parametrize(
    'loss, terms',
    [
        (CohortDKDLoss, dict(alpha='target', beta='non_target')),
        (CohortDISTLoss, dict(inter_loss_weight='inter', intra_loss_weight='intra')),
        (
            MLKDLoss,
            dict(
                instance_weight='instance', batch_weight='batch', class_weight='class'
            ),
        ),
        (wkd, dict(target_weight='target', transport_weight='transport')),
    ],
)
def test_each_term_has_the_weight_of_its_name(loss, terms):
    student, teacher, _ = batch()
    ones = dict.fromkeys(terms, 1.0)
    plain = loss(**ones)(student[None], teacher, LABELS)
    for key, weighted in terms.items():
        found = loss(**{**ones, key: 3.0})(student[None], teacher, LABELS)
        for term, value in plain.items():
            expected = 3 * value if term == weighted else value
            torch.testing.assert_close(found[term], expected)


def test_ramp(monkeypatch):
    student, teacher, _ = batch()
    loss = CohortDKDLoss(ramp=dict(end=20, kind='linear'))
    monkeypatch.setattr(loss.ramp, '_time', lambda: 5)
    expected = CohortDKDLoss()(student[None], teacher, LABELS)
    for term, value in loss(student[None], teacher, LABELS).items():
        torch.testing.assert_close(value, expected[term] / 4)


@pytest.mark.parametrize('name', ['dkd', 'wkd'])
def test_labels_are_one_class_each(name):
    student, teacher, _ = batch()
    loss = LOSSES[name]()
    soft = torch.full((IMAGES, CLASSES), 1 / CLASSES)
    for labels, message in (
        (None, '`gt_labels`: .*got None'),
        (soft, r'\(6, 5\).*mixup'),
        (LABELS + 4, 'expected labels from 0 to'),
    ):
        with pytest.raises(ValueError, match=message):
            loss(student[None], teacher, labels)


def test_soft_labels_are_no_matter_where_none_are_needed():
    student, teacher, _ = batch()
    for name in ('dist', 'mlkd'):
        loss = LOSSES[name]()
        loss.check_labels(torch.ones(IMAGES, CLASSES), student)
        assert loss(student[None], teacher)


@pytest.mark.parametrize('name', LOSSES)
def test_it_needs_a_teacher(name):
    with pytest.raises(ValueError, match='Invalid `teacher`: expected one'):
        LOSSES[name]().check_cohort(2, 0)


@pytest.mark.parametrize(
    'loss, settings, message',
    [
        (CohortDKDLoss, dict(alpha=-1.0), '`alpha`: expected a weight'),
        (CohortDISTLoss, dict(inter_loss_weight='2'), '`inter_loss_weight`'),
        (MLKDLoss, dict(class_weight=math.inf), '`class_weight`'),
        (MLKDLoss, dict(temperatures=[]), '`temperatures`: expected one or more'),
        (MLKDLoss, dict(temperatures=[0.0]), 'expected a temperature'),
        (CohortDKDLoss, dict(tau=0.0), 'expected a temperature'),
        (MLKDLoss, dict(standardize='False'), '`standardize`: expected True or False'),
        (WKDLoss, dict(sharpness=0.0), '`sharpness`: expected a number above 0'),
        (WKDLoss, dict(num_iters=0), '`num_iters`: expected a whole number'),
        (WKDLoss, dict(cost='nowhere.npy'), '`cost`: expected an existing'),
    ],
)
def test_settings_that_cannot_be(loss, settings, message):
    with pytest.raises(ValueError, match=message):
        loss(**settings)


@pytest.mark.parametrize(
    'content, message',
    [
        (np.zeros((5, 4)), r'shape \(C, C\), got \(5, 4\)'),
        (np.full((5, 5), -1.0), 'got -1 to -1'),
        (np.eye(5), '0 of a class to itself, got 1'),
        (np.array([['a', 'b'], ['c', 'd']]), 'an .npy file of numbers'),
        (np.zeros((0, 0)), r'shape \(C, C\), got \(0, 0\)'),
        (b'', 'an .npy file of numbers'),
        (b'PK\x03\x04', 'an .npy file of numbers'),
    ],
)
def test_files_that_are_no_distances(tmp_path, content, message):
    if isinstance(content, bytes):
        (tmp_path / 'cost.npy').write_bytes(content)
    else:
        np.save(tmp_path / 'cost.npy', content)
    with pytest.raises(ValueError, match=message):
        WKDLoss(cost=str(tmp_path / 'cost.npy'))


def test_distances_from_a_file(tmp_path):
    student, teacher, weights = batch()
    directions = weights / weights.norm(dim=1, keepdim=True)
    np.save(tmp_path / 'cost.npy', (1 - directions @ directions.T).numpy())
    loss = WKDLoss(cost=str(tmp_path / 'cost.npy'))
    assert not loss.needs_prototypes and not loss.state_dict()
    torch.testing.assert_close(
        loss(student[None], teacher, LABELS), wkd()(student[None], teacher, LABELS)
    )
    with pytest.raises(ValueError, match='distances of 4 classes, got 5'):
        loss(student[None, :4, :4], teacher[:4, :4], LABELS[:4])
    with pytest.raises(ValueError, match='call `take_prototypes` first'):
        WKDLoss()(student[None], teacher, LABELS)


def test_standardized_logits_of_a_cohort():
    """DCKD with standardized logits is DCKD of standardized logits, of the
    students' own gradient alone."""
    student, teacher, _ = batch()
    students = torch.stack([student, student.flip(0)])
    found = DCKDLoss(standardize=True)(students, teacher, LABELS, students)
    expected = DCKDLoss()(standardize(students), standardize(teacher))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize('name', LOSSES)
def test_several_labels_are_refused(name):
    with pytest.raises(ValueError, match="for the task 'multi_label'"):
        LOSSES[name]().use_task(MultiLabel())
