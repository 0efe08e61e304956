# Copyright (c) mmdckd contributors. All rights reserved.
"""Weights named as in efficientnet-pytorch, for networks of timm."""

import pytest
import torch

from mmdckd.cli.convert.efficientnet import main
from mmdckd.convert.efficientnet_checkpoint import convert_efficientnet_state_dict
from mmdckd.easy.networks import find_network

#: A block that does not widen, two that do, and what is around them.
NAMES = {
    '_conv_stem': 'conv_stem',
    '_bn0': 'bn1',
    '_blocks.0._depthwise_conv': 'blocks.0.0.conv_dw',
    '_blocks.0._bn1': 'blocks.0.0.bn1',
    '_blocks.0._se_reduce': 'blocks.0.0.se.conv_reduce',
    '_blocks.0._se_expand': 'blocks.0.0.se.conv_expand',
    '_blocks.0._project_conv': 'blocks.0.0.conv_pw',
    '_blocks.0._bn2': 'blocks.0.0.bn2',
    '_blocks.1._expand_conv': 'blocks.1.0.conv_pw',
    '_blocks.1._bn0': 'blocks.1.0.bn1',
    '_blocks.1._depthwise_conv': 'blocks.1.0.conv_dw',
    '_blocks.1._bn1': 'blocks.1.0.bn2',
    '_blocks.1._project_conv': 'blocks.1.0.conv_pwl',
    '_blocks.1._bn2': 'blocks.1.0.bn3',
    '_blocks.2._expand_conv': 'blocks.1.1.conv_pw',
    '_conv_head': 'conv_head',
    '_bn1': 'bn2',
    '_fc': 'classifier',
}


def weights(names, offset=0):
    return {
        f'{name}.weight': torch.full((i + 1,), float(i + offset))
        for i, name in enumerate(names)
    }


def test_every_layer_gets_its_name():
    source, target = weights(NAMES), weights(NAMES.values(), 100)
    converted = convert_efficientnet_state_dict(source, target)
    assert list(converted) == list(target)
    for old, new in NAMES.items():
        assert converted[f'{new}.weight'] is source[f'{old}.weight']


def test_a_file_of_an_old_pytorch():
    """It has no `num_batches_tracked`."""
    target = weights(NAMES.values())
    target['bn1.num_batches_tracked'] = torch.tensor(7)
    converted = convert_efficientnet_state_dict(weights(NAMES), target)
    assert list(converted) == list(target)
    assert converted['bn1.num_batches_tracked'] == 0


@pytest.mark.parametrize(
    'drop, add, message',
    [
        ('_fc.weight', None, 'classifier.weight'),
        (None, '_blocks.7._bn0.weight', r'_blocks\.7\._bn0\.weight'),
        (None, 'conv1.weight', 'conv1.weight'),
        (None, '_bn0.weight', r'_bn0.weight: \(9,\) instead of \(2,\)'),
    ],
)
def test_what_does_not_fit_is_told(drop, add, message):
    source = weights(NAMES)
    if drop:
        del source[drop]
    if add:
        source[add] = torch.zeros(9)
    with pytest.raises(ValueError, match='Invalid `src`.*' + message):
        convert_efficientnet_state_dict(source, weights(NAMES.values()))


def as_in_efficientnet_pytorch(state_dict):
    """The names of timm turned back, block after block."""
    blocks = list(
        dict.fromkeys(k.rsplit('.', 2)[0] for k in state_dict if '.conv_dw.' in k)
    )
    names = {}
    for number, block in enumerate(blocks):
        wide = f'{block}.conv_pwl.weight' in state_dict
        source = '_blocks.1' if wide else '_blocks.0'
        for old, new in NAMES.items():
            if old.startswith(source):
                part = '.'.join(new.split('.')[3:])
                names[f'{block}.{part}'] = old.replace(source, f'_blocks.{number}')
    names.update((new, old) for old, new in NAMES.items() if 'blocks' not in old)
    return {
        f'{names[layer]}.{name}': value
        for (layer, _, name), value in (
            (key.rpartition('.'), value) for key, value in state_dict.items()
        )
    }


def test_the_command_makes_weights_that_timm_loads(tmp_path, capsys):
    timm = pytest.importorskip('timm')
    network = timm.create_model('tf_efficientnet_lite0', num_classes=7)
    src, dst = tmp_path / 'src.pth', tmp_path / 'dst.pth'
    torch.save(as_in_efficientnet_pytorch(network.state_dict()), src)
    spec = f'timm:tf_efficientnet_lite0,{src}'
    with pytest.raises(ValueError, match='mmdckd convert efficientnet'):
        find_network(spec, 7)
    main([str(src), 'tf_efficientnet_lite0', str(dst)])
    assert '296 tensors' in capsys.readouterr().out
    found = find_network(f'timm:tf_efficientnet_lite0,{dst}', 7)
    assert found.has_head
    written = torch.load(dst, weights_only=True)['state_dict']
    for key, value in network.state_dict().items():
        assert torch.equal(written[key], value), key


def test_an_unknown_network_is_told(tmp_path):
    pytest.importorskip('timm')
    with pytest.raises(SystemExit, match="Invalid `network`.*'tf_efficientnet_lite"):
        main(['src.pth', 'tf_efficientnet_light0', str(tmp_path / 'dst.pth')])


@pytest.mark.parametrize('bias', [1, torch.tensor(1.0)])
def test_a_bias_that_counts_no_classes_is_told(tmp_path, bias):
    pytest.importorskip('timm')
    src = tmp_path / 'src.pth'
    torch.save({'_fc.weight': torch.ones(2, 3), '_fc.bias': bias}, src)
    with pytest.raises(SystemExit, match='Invalid `src`: .*got _fc.bias: a'):
        main([str(src), 'tf_efficientnet_lite0', str(tmp_path / 'dst.pth')])
