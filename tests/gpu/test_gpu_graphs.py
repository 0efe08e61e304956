# Copyright (c) mmdckd contributors. All rights reserved.
"""`cuda_graphs=True`: the same training, started at once."""

import copy

import pytest
import torch
from mmengine.optim import OptimWrapper
from small import amp, cohort, network

from helpers.networks import digits

pytestmark = pytest.mark.gpu


def dropout():
    cfg = network()
    cfg['backbone'] = dict(
        type='VisionTransformer',
        arch=dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64),
        img_size=8,
        patch_size=2,
        drop_rate=0.2,
        drop_path_rate=0.2,
    )
    cfg['neck'] = None
    cfg['head'] = dict(type='VisionTransformerClsHead', num_classes=10, in_channels=32)
    return cfg


def train(model, batches, kind='float32', **kwargs):
    optimizer = torch.optim.SGD(model.parameters(), 0.02, 0.9)
    if kind == 'float32':
        optim = OptimWrapper(optimizer, **kwargs)
    else:
        optim = amp(optimizer=optimizer, dtype=kind, **kwargs)
    logs = []
    with optim.optim_context(model):
        optim.initialize_count_status(model, 0, len(batches))
    for step, batch in enumerate(batches):
        torch.manual_seed(step)
        model.train()
        logs.append(model.train_step(copy.deepcopy(batch), optim))
        if step == 2:
            model.eval()
            with torch.no_grad():
                data = model.data_preprocessor(digits(8))
                model.predict_members(**data)
    return logs


@pytest.fixture
def deterministic(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, 'deterministic', True)
    torch.use_deterministic_algorithms(True)


CASES = dict(
    float32=dict(),
    channels_last=dict(model=dict(channels_last=True)),
    float16=dict(kind='float16'),
    bfloat16=dict(kind='bfloat16'),
    accumulation=dict(accumulative_counts=2),
    dropout=dict(model=dict(architecture=dropout())),
    mixed=dict(
        model=dict(
            architecture=None,
            num_students=None,
            students=dict(a=network(), b=network(depth=34)),
        )
    ),
    lagged_peers=dict(model=dict(lagged_peers=dict(momentum=0.5))),
    # The teacher runs once for each view.
    independent_views=dict(model=dict(views='independent'), views=3),
)


@pytest.mark.parametrize('case', CASES.values(), ids=CASES)
def test_trains_as_without_to_the_bit(device, deterministic, case):
    """With a batch of another size, and a validation, in between."""
    case = dict(case)
    kwargs, views = case.pop('model', {}), case.pop('views', None)
    batches = [digits(16, start=16 * i) for i in range(6)]
    batches.insert(3, digits(5))
    if views:
        for batch in batches:
            batch['inputs'] = [batch['inputs'].roll(i, -1) for i in range(views)]
    plain = cohort(device, **copy.deepcopy(kwargs), cuda_graphs=False)
    graphed = cohort(device, **copy.deepcopy(kwargs), cuda_graphs=True)
    expected = train(plain, batches, **case)
    found = train(graphed, batches, **case)
    assert [{k: float(v) for k, v in log.items()} for log in found] == [
        {k: float(v) for k, v in log.items()} for log in expected
    ]
    theirs = plain.state_dict()
    for key, value in graphed.state_dict().items():
        assert torch.equal(value, theirs[key]), key
    if device.type == 'cuda':
        # Of every student, and of the teacher.
        assert graphed.graphs._enabled
        assert len(graphed.graphs._graphed) == len(graphed.cohort) + 1


def test_weights_that_move_are_captured_anew(device):
    batches = [digits(16, start=16 * i) for i in range(4)]
    plain = cohort(device, cuda_graphs=False)
    graphed = cohort(device, cuda_graphs=True)
    for model in (plain, graphed):
        train(model, batches[:2])
        for parameter in model.parameters():
            parameter.data = parameter.data.clone()
    for one, other in zip(train(graphed, batches[2:]), train(plain, batches[2:])):
        torch.testing.assert_close(one['loss'], other['loss'])


def test_a_copy_takes_no_graphs_along(device):
    """An EMA copies the model, maybe after a step."""
    model = cohort(device, cuda_graphs=True)
    train(model, [digits(16)])
    copied = copy.deepcopy(model)
    assert not copied.graphs._graphed
    assert copied.graphs._cohort is copied.cohort


def looks(images):
    assert float(images.mean()) < 1e9


def waits(images):
    """What torch does not report, and a capture does not survive."""
    if images.is_cuda:
        torch.cuda.synchronize()


@pytest.mark.parametrize('stop', [looks, waits])
def test_a_backbone_that_cannot_be_captured_trains_without(device, stop):
    model = cohort(device, cuda_graphs=True)
    backbone = model.cohort.students['student0'].backbone
    forward = backbone.forward

    def stopping(images):
        stop(images)
        return forward(images)

    backbone.forward = stopping
    stream = torch.cuda.current_stream() if device.type == 'cuda' else None
    log = train(model, [digits(16), digits(16)])[-1]
    assert torch.isfinite(log['loss'])
    # A capture that fails leaves its stream, and a generator that draws no more.
    torch.rand(4, device=device)
    if stream is not None:
        assert torch.cuda.current_stream() == stream
        assert not model.graphs._enabled


def test_a_backbone_that_draws_on_the_host_trains_without(device):
    """A graph would repeat the draw of its capture."""
    plain = cohort(device, cuda_graphs=False)
    graphed = cohort(device, cuda_graphs=True)
    for model in (plain, graphed):
        for student in model.cohort.students.values():
            student.backbone.forward = scaled(student.backbone.forward)
    batches = [digits(16, start=16 * i) for i in range(3)]
    for one, other in zip(train(graphed, batches), train(plain, batches)):
        torch.testing.assert_close(one['loss'], other['loss'])


def scaled(forward):

    def scale(images):
        return forward(images * (1 + torch.rand(()).item()))

    return scale


def test_a_layer_that_is_unfrozen_learns(device):
    model = cohort(device, cuda_graphs=True)
    weight = model.cohort.students['student0'].backbone.conv1.weight
    weight.requires_grad_(False)
    before = weight.detach().clone()
    train(model, [digits(16)])
    assert torch.equal(weight, before)
    weight.requires_grad_(True)
    train(model, [digits(16)])
    assert not torch.equal(weight, before)
