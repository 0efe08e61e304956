# Copyright (c) mmdckd contributors. All rights reserved.
"""DCKDLoss against the hand-written autograd function that it replaces."""

import contextlib
import importlib.util
import os.path as osp
import sys
from itertools import product

import pytest
import torch

from mmdckd.models.collectors import GeneralCollector, build_collector
from mmdckd.models.losses import DCKDLoss
from mmdckd.models.tasks import MultiLabel


def _load():
    folder = osp.join(osp.dirname(__file__), 'before')
    spec = importlib.util.spec_from_file_location(
        'before', osp.join(folder, '__init__.py'), submodule_search_locations=[folder]
    )
    sys.modules['before'] = importlib.util.module_from_spec(spec)
    from before.loss import Before

    return Before


Before = _load()
COLLECTORS = (
    'mean', 'max', 'logit_mean', 'min_logit', 'naive', 'linear', 'confidence',
    'cross_entropy', 'general', 'weighted',
)  # fmt: skip
WORST = {}


def draw(n, m, b, c, dtype, scale, inf, views, soft, seed=0):
    g = torch.Generator().manual_seed(seed)
    z = scale * torch.randn(n, b, c, generator=g, dtype=torch.float64)
    t = scale * torch.randn(*([m, n] if views else [m]), b, c, generator=g).double()
    y = torch.randint(1, c, (b,), generator=g)
    if inf:  # class 0 is ruled out for all
        z[..., 0] = t[..., 0] = -float('inf')
    if soft:
        y = torch.rand(b, c, generator=g).softmax(-1)
    return z.to(dtype), t.to(dtype), y


def collector(name, count, teachers, **kw):
    cfg = dict(type=name, include_teacher=teachers > 0, **kw)
    if name == 'weighted':
        cfg['weights'] = list(range(1, count + teachers + 1))
    built = build_collector(cfg)
    if isinstance(built, GeneralCollector):
        k = count + teachers
        built.errors = (torch.full((k, k), 0.3) + torch.eye(k)).double()
    return built


def both(options, z, t, y, peers=None, task=None, context=contextlib.nullcontext):
    found = []
    for kind in (Before, DCKDLoss):
        loss = kind(**options)
        if task:
            loss.use_task(task)
        leaf = z.clone().requires_grad_()
        with context():
            terms = loss(list(leaf.unbind()), t, y, peers)
        w = torch.Generator().manual_seed(1)
        total = sum(
            (v * torch.rand(v.shape, generator=w)).sum() for v in terms.values()
        )
        (grad,) = torch.autograd.grad(total, leaf)
        found.append((terms, grad))
    return found


def check(kind, options, *args, **kwargs):
    (old, grad_old), (new, grad_new) = both(options, *args, **kwargs)
    assert list(old) == list(new)
    errors = []
    for term in old:
        assert old[term].dtype == new[term].dtype
        scale = old[term].abs().max().clamp_min(1)
        errors.append(((old[term] - new[term]).abs().max() / scale).item())
    grads = (grad_old - grad_new).abs().max()
    relative = (grads / grad_old.abs().max().clamp_min(0.1)).item()
    worst = WORST.setdefault(kind, [0.0, 0.0, 0.0])
    worst[:] = map(max, worst, [max(errors), grads.item(), relative])
    return max(errors), grads.item(), relative


@pytest.fixture(scope='module', autouse=True)
def report():
    yield
    for kind, worst in WORST.items():
        print(kind, 'value %.1e gradient %.1e of the largest %.1e' % tuple(worst))


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('c', [2, 3, 10, 100, 1000])
@pytest.mark.parametrize('n', [1, 2, 3, 4, 5])
def test_shapes_and_options(n, c, dtype):
    limit = 1e-6 if dtype == torch.float32 else 1e-13
    for name, correlation, tau, views, soft in product(
        COLLECTORS, DCKDLoss.CORRELATIONS, (0.5, 4.0), (False, True), (False, True)
    ):
        if name == 'linear' and c > 10 and (views or tau < 1):
            continue  # slow
        m = 2 if views else 1
        z, t, y = draw(n, m, 5, c, dtype, 3.0, False, views, soft)
        options = dict(
            gamma=0.5, tau=tau, correlation=correlation, collector=collector(name, n, m)
        )
        value, _, grad = check(f'shapes {dtype}', options, z, t, y)
        assert value < limit and grad < limit, (name, correlation, tau, views, soft)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('c', [3, 10, 100])
@pytest.mark.parametrize('scale', [1.0, 30.0])
def test_a_class_that_all_rule_out(c, scale, dtype):
    for name in COLLECTORS:
        z, t, y = draw(3, 1, 5, c, dtype, scale, True, False, False)
        for correlation in DCKDLoss.CORRELATIONS:
            options = dict(collector=collector(name, 3, 1), correlation=correlation)
            value, _, grad = check(f'-inf {dtype}', options, z, t, y)
            assert value < 1e-6 and grad < 1e-6, name


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_autocast_lagged_standardised_several_labels(dtype):
    for n, c in product((2, 3, 5), (2, 10, 100, 1000)):
        z, t, y = draw(n, 1, 6, c, dtype, 3.0, False, False, False)

        def cast():
            return torch.autocast('cpu', torch.bfloat16)

        # Gradients in the logits' precision: a last bit of it.
        limit = 1e-6 if dtype == torch.float32 else torch.finfo(dtype).eps
        for kind, args in dict(
            autocast=dict(context=cast), lagged=dict(peers=z.flip(0).float())
        ).items():
            value, _, grad = check(f'{kind} {dtype}', {}, z, t, y, **args)
            assert value < 1e-6 and grad < limit
        value, _, grad = check(f'std {dtype}', dict(standardize=True), z, t, y)
        assert value < 1e-6 and grad < 2 * limit
        value, _, grad = check(f'multi {dtype}', {}, z, t, y, task=MultiLabel())
        assert value < 1e-6 and grad < limit


@pytest.mark.parametrize('weights', [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0)])
@pytest.mark.parametrize('scale', [1e-3, 10.0, 300.0, 1e4])
def test_terms_and_sizes(weights, scale):
    options = dict(zip(('alpha', 'beta', 'gamma'), weights))
    for c in (2, 10, 1000):
        z, t, y = draw(4, 1, 8, c, torch.float32, scale, False, False, False)
        value, _, grad = check(f'size {scale:g}', options, z, t, y)
        assert value < 1e-6 and grad < 1e-6


def test_digits(capsys):
    """The setting of configs/dckd_r34_r18_digits.py."""
    equal, ulp = 0, 0.0
    for seed in range(100):
        z, t, y = draw(4, 1, 64, 10, torch.float32, 3.0, False, False, False, seed)
        found = []
        for kind in (Before, DCKDLoss):
            leaf = z.clone().requires_grad_()
            terms = kind()(list(leaf.unbind()), t, y)
            sum(v.sum() for v in terms.values()).backward()
            found.append((terms, leaf.grad))
        (old, grad_old), (new, grad_new) = found
        equal += int((grad_old == grad_new).sum())
        ulp = max(
            ulp, ((grad_old - grad_new).abs().max() / grad_old.abs().max()).item()
        )
        same = [torch.equal(old[k], new[k]) for k in old]
    with capsys.disabled():
        print(f'\ndigits: equal {equal / 256000:.3f}, worst of largest {ulp:.1e}', same)
