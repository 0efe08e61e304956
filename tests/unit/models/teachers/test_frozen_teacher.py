# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from helpers.networks import PREPROCESSOR, digits, distil, network
from mmdckd.models.networks import build_network, resolve_network
from mmdckd.models.teachers import FrozenTeacher


@pytest.fixture
def checkpoint(tmp_path):
    """A teacher's checkpoint as MMEngine writes it."""
    torch.manual_seed(1)
    model = build_network(resolve_network(network(34), 'teacher'))
    model.init_weights()
    path = tmp_path / 'teacher.pth'
    torch.save(dict(meta=dict(), state_dict=model.state_dict()), path)
    return str(path)


def same_weights(teacher, path):
    state = torch.load(path, weights_only=True)['state_dict']
    ours = teacher.model.state_dict()
    return state.keys() == ours.keys() and all(
        torch.equal(state[k], ours[k]) for k in state
    )


def test_weights_by_teacher_ckpt(checkpoint):
    model = distil(teacher_ckpt=checkpoint, allow_random_teacher=False)
    assert same_weights(model.teachers[0], checkpoint)


def test_weights_by_the_teachers_config(checkpoint):
    for cfg in (
        dict(network(34), pretrained=checkpoint),
        dict(network(34), init_cfg=dict(type='Pretrained', checkpoint=checkpoint)),
    ):
        assert same_weights(FrozenTeacher(cfg), checkpoint)


def test_weights_with_a_config_file(checkpoint, tmp_path):
    path = tmp_path / 'teacher_config.py'
    Config(dict(model=network(34), data_preprocessor=PREPROCESSOR)).dump(path)
    teacher = FrozenTeacher(dict(cfg_path=str(path), pretrained=checkpoint))
    assert same_weights(teacher, checkpoint)
    overridden = resolve_network(
        dict(cfg_path=str(path), backbone=dict(depth=50)), 'teacher'
    )
    assert overridden.model.backbone.depth == 50
    assert overridden.model.backbone.base_channels == 4


def test_weights_that_the_package_lists(tmp_path, monkeypatch):
    """`pretrained=True` takes the file that the model index names; here it
    lies where torch.hub would have put it."""
    cfg = dict(cfg_path='mmpretrain::resnet/resnet18_8xb16_cifar10.py')
    model = build_network(resolve_network(cfg, 'teacher'))
    spec = resolve_network(dict(cfg, pretrained=True), 'teacher')
    hub = tmp_path / 'checkpoints'
    hub.mkdir()
    torch.save(
        dict(state_dict=model.state_dict()), hub / spec.weights.rsplit('/', 1)[1]
    )
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path))
    teacher = FrozenTeacher(dict(cfg, pretrained=True))
    assert torch.equal(teacher.model.backbone.conv1.weight, model.backbone.conv1.weight)


def test_weights_from_data_parallel_training(checkpoint, tmp_path):
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    path = str(tmp_path / 'ddp.pth')
    torch.save({f'module.{k}': v for k, v in state.items()}, path)
    assert same_weights(FrozenTeacher(network(34), path), checkpoint)


@pytest.mark.parametrize(
    'damage, message',
    [
        ('missing', 'expected an existing checkpoint'),
        ('truncated', 'expected a .*file'),
        ('text', 'expected a .*file'),
        ('no tensors', 'expected a state dict'),
        ('other depth', 'missing from the file'),
        ('other classes', r'head.fc.weight: \(7, 32\) in the file, \(10, 32\)'),
        ('extra', 'unknown to the network: stray'),
    ],
)
def test_bad_checkpoints_are_explained(damage, message, checkpoint, tmp_path):
    state = torch.load(checkpoint, weights_only=True)['state_dict']
    path = tmp_path / 'bad.pth'
    if damage == 'truncated':
        content = open(checkpoint, 'rb').read()
        path.write_bytes(content[: len(content) // 2])
    elif damage == 'text':
        path.write_text('not a checkpoint')
    elif damage == 'no tensors':
        torch.save(dict(a=1), path)
    elif damage == 'other depth':
        model = build_network(resolve_network(network(18), 'teacher'))
        torch.save(model.state_dict(), path)
    elif damage == 'other classes':
        model = build_network(resolve_network(network(34, num_classes=7), 'teacher'))
        torch.save(model.state_dict(), path)
    elif damage == 'extra':
        torch.save(dict(state, stray=torch.zeros(1)), path)
    error = FileNotFoundError if damage == 'missing' else ValueError
    with pytest.raises(error, match=message) as caught:
        FrozenTeacher(network(34), str(path))
    assert 'teacher_ckpt' in str(caught.value)


def test_a_checkpoint_that_would_run_code_does_not(tmp_path):

    class Malicious:
        def __reduce__(self):
            return (open, (str(tmp_path / 'was_here'), 'w'))

    torch.save(dict(state_dict=Malicious()), tmp_path / 'bad.pth')
    with pytest.raises(ValueError, match='expected only weights'):
        FrozenTeacher(network(34), str(tmp_path / 'bad.pth'))
    assert not (tmp_path / 'was_here').exists()


def test_two_places_for_the_weights_are_refused(checkpoint):
    with pytest.raises(ValueError, match='`teacher_ckpt`: expected None, as'):
        FrozenTeacher(dict(network(34), pretrained=checkpoint), checkpoint)


@pytest.mark.parametrize(
    'theirs',
    [
        dict(PREPROCESSOR, mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0]),
        dict(PREPROCESSOR, mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], to_rgb=True),
        dict(PREPROCESSOR, to_rgb=True),
        dict(type='ClsDataPreprocessor'),
    ],
)
def test_inputs_are_brought_to_the_teachers_normalization(theirs):
    ours = dict(PREPROCESSOR, mean=[10.0, 20.0, 30.0], std=[40.0, 50.0, 60.0])
    model = distil(
        data_preprocessor=ours, teacher=dict(network(34), data_preprocessor=theirs)
    ).double()
    seen = []
    model.teachers[0].model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(args[0]), with_kwargs=True
    )
    data = digits(4)
    data['inputs'] = torch.randint(0, 256, data['inputs'].shape, dtype=torch.uint8)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        expected = model.teachers[0].model.data_preprocessor(data)['inputs']
    model.teachers[0](model.data_preprocessor(data)['inputs'].double())
    torch.testing.assert_close(seen[0], expected.double(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize('trainable', [False, True])
def test_it_predicts_and_learns_with_its_own_normalization(trainable, batch):
    theirs = dict(PREPROCESSOR, mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], to_rgb=True)
    model = distil(
        teacher=dict(network(34), data_preprocessor=theirs), teacher_trainable=trainable
    ).eval()
    teacher = model.teachers[0].model
    with DefaultScope.overwrite_default_scope('mmpretrain'), torch.no_grad():
        inputs = teacher.data_preprocessor(batch)['inputs']
        logits = teacher(inputs, mode='tensor')
    data = model.data_preprocessor(batch)
    close = dict(rtol=1e-3, atol=1e-4)
    predicted = model.predict_members(**data)['teacher']
    scores = torch.stack([sample.pred_score for sample in predicted])
    torch.testing.assert_close(scores, logits.softmax(-1), **close)
    if trainable:  # its BatchNorm layers keep their statistics
        loss = model.train()(**data, mode='loss')['teacher.loss']
        labels = torch.cat([sample.gt_label for sample in batch['data_samples']])
        expected = torch.nn.functional.cross_entropy(logits, labels)
        torch.testing.assert_close(loss.detach(), expected, **close)


def test_inputs_are_left_alone_where_normalization_agrees():
    model = distil()
    inputs = torch.rand(2, 3, 8, 8)
    seen = []
    model.teachers[0].model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(args[0]), with_kwargs=True
    )
    model.teachers[0](inputs)
    assert seen[0] is inputs


def test_its_random_start_takes_nothing_from_the_students():
    torch.manual_seed(0)
    FrozenTeacher(network(34), allow_random=True)
    after = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(after, torch.rand(1))


@pytest.mark.parametrize('size', [16, (16, 12)])
def test_inputs_are_resized_for_the_teacher_on_demand(size):
    model = distil(teacher=dict(network(34), input_size=size))
    seen = []
    model.teachers[0].model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(args[0]), with_kwargs=True
    )
    model.teachers[0](torch.ones(2, 3, 8, 8))
    assert tuple(seen[0].shape[-2:]) == (16, 16 if size == 16 else 12)
    torch.testing.assert_close(seen[0], torch.ones_like(seen[0]))


def test_inputs_that_are_made_smaller_are_antialiased():
    """Of every third pixel of stripes there would be stripes."""
    model = distil(teacher=dict(network(34), input_size=8))
    seen = []
    model.teachers[0].model.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append(args[0]), with_kwargs=True
    )
    stripes = (torch.arange(24) % 2).float().expand(1, 3, 24, 24)
    model.teachers[0](stripes)
    inner = seen[0][..., 2:-2]
    torch.testing.assert_close(inner, torch.full_like(inner, 0.5), rtol=0, atol=0.1)


@pytest.mark.parametrize('size', [0, (1,), 'big', (8.0, 8), True])
def test_a_size_that_is_none_is_refused(size):
    with pytest.raises(ValueError, match='`teacher.input_size`'):
        FrozenTeacher(dict(network(34), input_size=size), allow_random=True)


@pytest.mark.parametrize('built', [False, True])
def test_it_is_in_eval_mode_throughout(built, batch):
    """Its BatchNorm layers neither use nor change what they see in a batch."""
    teacher = build_network(resolve_network(network(34), 'teacher')).train()
    model = distil(teacher=teacher if built else network(34))
    model.train()
    teacher = model.teachers[0].model
    before = {key: value.clone() for key, value in teacher.state_dict().items()}
    model(**model.data_preprocessor(batch, True), mode='loss')
    assert not any(module.training for module in teacher.modules())
    for key, value in teacher.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_nothing_is_kept_for_a_gradient():
    """Not of one layer, though the images would have one."""
    kept = []
    images = torch.rand(2, 3, 8, 8, requires_grad=True)
    teacher = FrozenTeacher(network(34), allow_random=True)
    outputs = []
    teacher.model.head.register_forward_hook(
        lambda module, args, output: outputs.append(output)
    )
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda x: x):
        teacher(images)
    assert not kept and not outputs[0].requires_grad


def test_weights_beside_a_network_are_refused(checkpoint):
    built = build_network(resolve_network(network(34), 'teacher'))
    with pytest.raises(
        ValueError, match='`teacher_ckpt`: expected None with a network'
    ):
        FrozenTeacher(built, checkpoint)
