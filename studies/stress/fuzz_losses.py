# Copyright (c) mmdckd contributors. All rights reserved.
"""Give losses and collectors all kinds of logits and labels, and check that each
result is right, not finite because the logits are not, or a clear error."""

from collections import Counter

import torch
from fuzzing import finish, fuzz_parser
from hypothesis import HealthCheck, Phase, given, seed, settings
from loss_cases import Case, cases

from mmdckd.models.collectors import GeneralCollector, build_collector
from mmdckd.models.losses import DCKDLoss, GatedEnsembleLoss

EXAMPLE = """example:
  python studies/stress/fuzz_losses.py --cases 500 --seed 1
"""
#: Results of larger logits are not compared with a reference; they only have to be
#: finite.
MODERATE = 300.0
#: The collectors with a reference implementation here.
EXACT_COLLECTORS = ('mean', 'logit_mean', 'max')


def judge(case: Case) -> str:
    """Compute a case, and classify the result.

    Returns:
        str: ``'right'``, ``'finite'`` (there is no reference), ``'not finite'``
        (the logits are not finite either) or ``'error'``.

    Raises:
        AssertionError: If the result is anything else.
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
    """Check that every term that depends on NaN or infinity is not finite.

    Minus infinity, the logit of a class that is ruled out, may count as a very
    small number.
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
        # The rounding error of float32 for logits of this size, times tau squared.
        scale = 1e-5 * (1 + values.abs().max() + tau * MODERATE / 10)
        if term != 'correlation':
            scale = scale + 1e-6 * tau**2 * students.shape[-1] ** 0.5
        difference = (terms[term].double() - values).abs().max()
        assert difference <= scale, (
            f'{term} is {terms[term].tolist()}, not {values.tolist()}'
        )
    return 'right' if expected else 'finite'


def _targets(case: Case, members: list) -> torch.Tensor:
    """Compute each student's target from the others, in float64."""
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
