# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
import torch
from mmengine.registry import DefaultScope
from torch import nn

from helpers.crd_networks import NETWORKS
from mmdckd.convert.crd_checkpoint import _FAMILIES, convert_crd_state_dict
from mmdckd.registry import MODELS


def stirred(network, seed=0):
    """The network with statistics and affine parameters of its own."""
    torch.manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return network.eval()


def built(model, state_dict):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        network = MODELS.build(model)
    network.load_state_dict(state_dict)
    return network.eval()


@pytest.mark.parametrize('name', NETWORKS)
def test_logits_are_the_same(name):
    reference = stirred(NETWORKS[name](num_classes=10))
    network = built(*convert_crd_state_dict(reference.state_dict()))
    images = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        expected, logits = reference(images), network(images)
    assert expected.std() > 0 and not torch.equal(expected[0], expected[1])
    torch.testing.assert_close(
        logits, expected, rtol=1e-4, atol=1e-4 * expected.std().item()
    )


@pytest.mark.parametrize(
    'name',
    ['resnet8', 'wrn16_2', 'vgg8', 'mobilenetv2', 'shufflenetv1', 'shufflenetv2'],
)
def test_gradients_are_the_same(name):
    """Training goes the same way, batch statistics included."""
    reference = stirred(NETWORKS[name](num_classes=5)).double()
    network = built(*convert_crd_state_dict(reference.state_dict())).double()
    torch.manual_seed(1)
    images = torch.randn(4, 3, 32, 32, dtype=torch.double)
    weights = torch.randn(4, 5, dtype=torch.double)
    gradients = []
    for model in (reference, network):
        model.train()
        inputs = images.clone().requires_grad_()
        (model(inputs) * weights).sum().backward()
        gradients.append(inputs.grad)
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize(
    'name, key',
    [
        ('resnet20', 'layer2.7.conv1.weight'),
        ('resnet20', 'layer2.1.downsample.0.weight'),
        ('resnet20', 'extra'),
        ('wrn16_1', 'block1.layer.0.convShortcut.weight'),
        ('vgg8', 'block0.3.weight'),
        ('mobilenetv2', 'blocks.0.0.conv.9.weight'),
        ('shufflenetv1', 'layer1.0.conv4.weight'),
        ('shufflenetv2', 'layer1.1.conv4.weight'),
    ],
)
def test_unknown_key(name, key):
    state_dict = NETWORKS[name]().state_dict()
    state_dict[key] = torch.zeros(3)
    with pytest.raises(ValueError, match=f'1 unknown: {key}$'):
        convert_crd_state_dict(state_dict)


def test_missing_key():
    state_dict = NETWORKS['resnet20']().state_dict()
    del state_dict['layer3.2.bn2.running_var']
    with pytest.raises(
        ValueError, match=r'ResNet .*depth=20.*\n.*1 missing.*layer3.2.bn2.runn'
    ):
        convert_crd_state_dict(state_dict)


def test_a_file_of_an_old_pytorch():
    """It has no `num_batches_tracked`."""
    state_dict = NETWORKS['resnet8']().state_dict()
    for key in [key for key in state_dict if key.endswith('num_batches_tracked')]:
        state_dict[key] += 7
    whole = convert_crd_state_dict(state_dict)[1]
    assert whole['backbone.bn1.num_batches_tracked'] == 7
    old = {key: v for key, v in state_dict.items() if 'num_batches' not in key}
    converted = convert_crd_state_dict(old)[1]
    assert converted.keys() == whole.keys()
    assert converted['backbone.bn1.num_batches_tracked'] == 0


def test_other_shape():
    state_dict = NETWORKS['vgg8']().state_dict()
    state_dict['block1.0.weight'] = torch.zeros(128, 64, 5, 5)
    with pytest.raises(
        ValueError,
        match='1 of another shape: block1.0.weight'
        r': \(128, 64, 5, 5\) instead of \(128, 64, 3, 3\)',
    ):
        convert_crd_state_dict(state_dict)


@pytest.mark.parametrize('family', _FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize('shape', [(), (3,), (0, 0, 3, 3), None])
def test_marks_that_describe_no_network(family, shape):
    value = 1 if shape is None else torch.ones(shape)
    with pytest.raises(ValueError, match='^Invalid `src`: expected the weights of a n'):
        convert_crd_state_dict(dict.fromkeys(family.marks, value))


def test_a_value_that_is_no_tensor():
    state_dict = dict(NETWORKS['resnet8']().state_dict(), epoch=3)
    with pytest.raises(ValueError, match='`src`: .* network, got epoch: a int'):
        convert_crd_state_dict(state_dict)


def test_other_network():
    with pytest.raises(ValueError, match='a network of the CRD benchmark.*features.0'):
        convert_crd_state_dict({'features.0.weight': torch.zeros(1)})
    state_dict = NETWORKS['resnet14']().state_dict()
    for key in list(state_dict):
        if key.startswith('layer1.1'):
            for index in (2, 3, 4):
                copy = key.replace('layer1.1', f'layer1.{index}')
                state_dict[copy] = state_dict[key]
    with pytest.raises(ValueError, match='expected the weights of a .*depth=32'):
        convert_crd_state_dict(state_dict)
    del state_dict['layer1.4.conv1.weight']
    with pytest.raises(ValueError, match='depth=26.*does not exist'):
        convert_crd_state_dict(state_dict)
