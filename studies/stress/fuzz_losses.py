# Copyright (c) mmdckd contributors. All rights reserved.
"""Give losses and collectors all kinds of logits and labels, and see whether
what comes out is right, honestly not finite, or a clear error."""

from collections import Counter
from typing import NamedTuple, Optional

import torch
import torch.nn.functional as F
from fuzzing import finish, fuzz_parser
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from mmdckd.models.collectors import GeneralCollector, build_collector
from mmdckd.models.losses import DCKDLoss, GatedEnsembleLoss

EXAMPLE = """example:
  python studies/stress/fuzz_losses.py --cases 500 --seed 1
"""
COLLECTORS = (
    'mean',
    'max',
    'logit_mean',
    'min_logit',
    'naive',
    'linear',
    'confidence',
    'cross_entropy',
    'general',
    'weighted',
)
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
NO_LOGITS = (torch.int64, torch.uint8, torch.bool, torch.complex64)
SPECIAL = dict(nan=float('nan'), inf=float('inf'), minus_inf=-float('inf'), large=None)
#: Beyond this many, a logit is compared with nothing: only whether what comes
#: of it is finite counts.
MODERATE = 300.0
#: The collectors that are written out here.
EXACT_COLLECTORS = ('mean', 'logit_mean', 'max')


class Case(NamedTuple):
    """A loss, and what it is called with."""

    what: str
    options: dict
    students: object
    teachers: object
    labels: object
    peers: object

    def __repr__(self) -> str:
        shown = [
            f'{name}={_describe(getattr(self, name))}'
            for name in ('students', 'teachers', 'labels', 'peers')
        ]
        return f'{self.what}({self.options}, {", ".join(shown)})'


def _describe(value) -> str:
    if not isinstance(value, torch.Tensor):
        return repr(value)
    text = f'{value.dtype} {tuple(value.shape)}'
    return text if value.numel() > 24 else f'{text} {value.tolist()}'


@st.composite
def cases(draw) -> Case:
    """Draw a case; most have one thing wrong at most."""
    num_students = draw(st.integers(1, 4) | st.integers(1, 16))
    num_teachers = draw(st.integers(0, 3))
    num_classes = draw(st.sampled_from([1, 2, 3, 5, 10, 10, 10, 100, 1000, 30000]))
    batch_size = draw(st.integers(1, 3))
    if num_students * num_classes > 50000:
        batch_size = 1
    odd = draw(
        st.sampled_from(
            ['none'] * 4 + ['value', 'value', 'labels', 'dtype', 'shape', 'kind']
        )
    )
    shape = (batch_size, num_classes)
    students = draw(_logits((num_students, *shape), odd))
    teachers = peers = None
    if num_teachers:
        teachers = draw(_logits((num_teachers, *shape), odd))
    if draw(st.booleans()) and draw(st.booleans()):
        peers = draw(_logits((num_students, *shape), odd))
    labels = draw(_labels(shape, odd == 'labels'))
    if odd == 'shape':
        students, teachers, peers = draw(
            st.sampled_from(
                [
                    (students[0], teachers, peers),
                    (students[..., None], teachers, peers),
                    (students[:, :0], None, None),
                    (students[:0], teachers, None),
                    (list(students) + [students[0, :, :-1]], teachers, None),
                    (students, torch.zeros(shape[1], shape[0] + 1), peers),
                    (students, teachers, torch.zeros(num_students + 1, *shape)),
                ]
            )
        )
    if odd == 'kind':
        students, teachers, labels = draw(
            st.sampled_from(
                [
                    (None, teachers, labels),
                    (students.tolist(), teachers, labels),
                    (students, 'teacher', labels),
                    (students, teachers, [0] * batch_size),
                    (students, teachers, 3),
                ]
            )
        )
    what = draw(st.sampled_from(['dckd', 'dckd', 'dckd', 'gated']))
    tau = draw(st.sampled_from([1e-4, 0.5, 1.0, 4.0, 4.0, 100.0, 1e4]))
    if what == 'gated':
        options = dict(num_students=num_students, num_classes=num_classes, tau=tau)
    else:
        weights = st.sampled_from([0.0, 0.1, 1.0, 1.0, 2.5])
        options = dict(
            alpha=draw(weights) if num_teachers else 0.0,
            beta=draw(weights),
            gamma=draw(weights),
            tau=tau,
            collector=draw(st.sampled_from(COLLECTORS)),
            include_self=draw(st.booleans()) or num_students == 1,
            include_teacher=bool(num_teachers) and draw(st.booleans()),
            correlation=draw(st.sampled_from(DCKDLoss.CORRELATIONS)),
        )
    return Case(what, options, students, teachers, labels, peers)


@st.composite
def _logits(draw, shape, odd: str) -> torch.Tensor:
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    dtype = draw(st.sampled_from(DTYPES if odd != 'dtype' else NO_LOGITS))
    most = torch.finfo(dtype).max if dtype.is_floating_point else 1.0
    scale = draw(st.sampled_from([0.0, 1e-3, 1.0, 10.0, 10.0, 300.0, 1e4, 1e30, most]))
    if odd == 'dtype':
        return (10 * torch.rand(shape, generator=generator)).to(dtype)
    logits = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
    if odd == 'value':
        for _ in range(draw(st.integers(1, 3))):
            index = tuple(draw(st.integers(0, size - 1)) for size in shape)
            value = SPECIAL[draw(st.sampled_from(list(SPECIAL)))]
            logits[index] = value or most * draw(st.sampled_from([-1, 1]))
    finite = logits.clamp(-most, most)
    return torch.where(logits.isinf(), logits, finite).to(dtype)


@st.composite
def _labels(draw, shape, odd: bool) -> Optional[torch.Tensor]:
    batch_size, num_classes = shape
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32)))
    hard = torch.randint(num_classes, (batch_size,), generator=generator)
    soft = torch.rand(shape, generator=generator) + 1e-3
    soft /= soft.sum(-1, keepdim=True)
    if not odd:
        return draw(
            st.sampled_from(
                [
                    hard,
                    hard,
                    hard.int(),
                    soft,
                    soft.double(),
                    F.one_hot(hard, num_classes),
                ]
            )
        )
    return draw(
        st.sampled_from(
            [
                None,
                hard - num_classes,
                hard + num_classes,
                hard.double(),
                hard.bool(),
                soft * 3,
                soft - 1,
                soft * float('nan'),
                soft.half().bool(),
                hard[:, None, None],
                soft[:, :-1],
                hard[:-1],
                0 * hard - 100,
                torch.ones(shape),
                soft + 0j,
                soft * float('inf'),
            ]
        )
    )


def judge(case: Case) -> str:
    """Compute a case, and say what came out.

    Returns:
        str: ``'right'``, ``'finite'`` (with logits that are compared with
        nothing), ``'not finite'`` (of something that is not) or ``'error'``.

    Raises:
        AssertionError: If something else came out.
    """
    try:
        loss = _build(case)
        students = case.students
        if isinstance(students, torch.Tensor):
            students = students.clone()
            students.requires_grad_(students.is_floating_point())
        before = [_copy(x) for x in (case.teachers, case.labels, case.peers)]
        terms = loss(students, case.teachers, case.labels, case.peers)
        after = (case.teachers, case.labels, case.peers)
        assert all(map(_equal, before, after)), 'an argument was changed'
    except (ValueError, TypeError) as error:
        # The name of an argument, or a key of the config.
        assert '`' in str(error), f'unclear: {error!r}'
        return 'error'
    whole = sum(values.sum() for values in terms.values())
    grad = None
    if terms:
        (grad,) = torch.autograd.grad(whole, students)
    members = [students.detach()]
    members += [x for x in (case.teachers, case.peers) if isinstance(x, torch.Tensor)]
    if all(x.isfinite().all() for x in members):
        for name, values in terms.items():
            assert values.isfinite().all(), f'{name} is {values.tolist()}'
            assert values.dtype in (torch.float32, torch.float64)
            assert values.shape == students.shape[:1]
        assert grad is None or grad.isfinite().all(), 'gradient'
        return _compare(case, loss, terms)
    _check_honest(case, loss, terms)
    return 'not finite'


def _build(case: Case) -> torch.nn.Module:
    options = dict(case.options)
    if case.what == 'gated':
        torch.manual_seed(0)
        loss = GatedEnsembleLoss(**options)
        torch.nn.init.normal_(loss.gate.weight)
        return loss
    cfg = dict(
        type=options['collector'],
        include_self=options.pop('include_self'),
        include_teacher=options.pop('include_teacher'),
    )
    count = len(case.students) if isinstance(case.students, (torch.Tensor, list)) else 2
    if cfg['include_teacher'] and isinstance(case.teachers, torch.Tensor):
        count += len(case.teachers)
    if cfg['type'] == 'weighted':
        cfg['weights'] = list(range(1, count + 1))
    options['collector'] = build_collector(cfg)
    if isinstance(options['collector'], GeneralCollector):
        errors = torch.full((count, count), 0.3) + torch.eye(count)
        options['collector'].errors = errors.double()
    return DCKDLoss(**options)


def _copy(value):
    return value.clone() if isinstance(value, torch.Tensor) else value


def _equal(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a.nan_to_num(), b.nan_to_num())
    return a is b or a == b


def _check_honest(case: Case, loss: torch.nn.Module, terms: dict) -> None:
    """What has NaN or infinity in it is NaN in every term that looks at it.

    Minus infinity alone, the logit of a class that is ruled out, may count as
    a very small number.
    """
    peers = case.students if case.peers is None else case.peers
    teachers = () if case.teachers is None else case.teachers
    known = {f'peer{i}': z for i, z in enumerate(peers)}
    known.update((f'teacher{i}', z) for i, z in enumerate(teachers))
    teacher_names = [f'teacher{i}' for i in range(len(teachers))]
    for i, own in enumerate(case.students):
        sources = loss.sources(
            i, [f'peer{j}' for j in range(len(peers))], teacher_names
        )
        for term, names in sources.items():
            used = [known[name] for name in names]
            if term != 'gate':
                used.append(own)
            if any(_spoiled(z) for z in used):
                assert not terms[term][i].isfinite(), (
                    f'{term} of student {i} is {terms[term][i].item()}, but '
                    'there is NaN or infinity in it'
                )


def _spoiled(logits: torch.Tensor) -> bool:
    lost = (logits == -float('inf')).all(-1)
    return bool((logits.isnan() | (logits == float('inf'))).any() or lost.any())


def _compare(case: Case, loss: torch.nn.Module, terms: dict) -> str:
    """Compare with float64, written out, where that is exact enough."""
    tau = case.options['tau']
    members = [case.students.double()]
    members += [
        x.double() for x in (case.teachers, case.peers) if isinstance(x, torch.Tensor)
    ]
    largest = max(x.abs().max().item() for x in members)
    if case.what == 'gated' or not 0.1 <= tau <= 1000 or largest > MODERATE:
        return 'finite'
    students = members[0]
    log_p = (students / tau).log_softmax(-1)
    expected = {}
    if 'teacher' in terms:
        target = (case.teachers.double() / tau).softmax(-1).mean(0)
        expected['teacher'] = case.options['alpha'] * tau**2 * _kl(target, log_p)
    if 'collective' in terms and case.options['collector'] in EXACT_COLLECTORS:
        expected['collective'] = (
            case.options['beta'] * tau**2 * _kl(_targets(case, members), log_p)
        )
    if 'correlation' in terms and case.options['correlation'] == 'all':
        expected['correlation'] = -case.options['gamma'] * torch.special.entr(
            log_p.exp()
        ).sum(-1).mean(-1)
    for term, values in expected.items():
        # What float32 loses of logits of this size, times tau squared.
        scale = 1e-5 * (1 + values.abs().max() + tau * MODERATE / 10)
        if term != 'correlation':
            scale = scale + 1e-6 * tau**2 * students.shape[-1] ** 0.5
        difference = (terms[term].double() - values).abs().max()
        assert difference <= scale, (
            f'{term} is {terms[term].tolist()}, not {values.tolist()}'
        )
    return 'right' if expected else 'finite'


def _targets(case: Case, members: list) -> torch.Tensor:
    """What each student learns from the others, in float64."""
    tau, name = case.options['tau'], case.options['collector']
    peers = members[-1] if case.peers is not None else members[0]
    targets = []
    for i in range(len(peers)):
        chosen = [
            z for j, z in enumerate(peers) if j != i or case.options['include_self']
        ]
        if case.options['include_teacher']:
            chosen += list(case.teachers.double())
        scaled = torch.stack(chosen) / tau
        if name == 'logit_mean':
            targets.append(scaled.mean(0).softmax(-1))
        elif name == 'mean':
            targets.append(scaled.softmax(-1).mean(0))
        else:
            largest = scaled.softmax(-1).amax(0)
            targets.append(largest / largest.sum(-1, keepdim=True))
    return torch.stack(targets)


def _kl(target: torch.Tensor, log_p: torch.Tensor) -> torch.Tensor:
    return (torch.special.xlogy(target, target) - target * log_p).sum(-1).mean(-1)


def main() -> None:
    parser = fuzz_parser(__doc__, EXAMPLE, 5000)
    args = parser.parse_args()
    counts: Counter = Counter()
    failures = []

    @seed(args.seed)
    @settings(
        max_examples=args.cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases())
    def fuzz(case: Case) -> None:
        try:
            counts[judge(case)] += 1
        except Exception as error:
            counts['failure'] += 1
            failures.append(
                dict(
                    case=repr(case)[:1500],
                    error=f'{type(error).__name__}: {error}'[:500],
                )
            )

    fuzz()
    finish(
        args,
        'fuzz_losses',
        cases=sum(counts.values()),
        outcomes=dict(counts),
        failures=failures,
    )


if __name__ == '__main__':
    main()
