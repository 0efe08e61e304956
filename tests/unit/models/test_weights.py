# Copyright (c) mmdckd contributors. All rights reserved.
import logging

import pytest
import torch
from mmengine.logging import MMLogger
from mmengine.model import PretrainedInit
from mmpretrain.models import LoRAModel, SwinTransformerV2, VisionTransformer

from helpers.networks import distil, network
from mmdckd.io.checkpoints import fit_state_dict
from mmdckd.models.weights import load_weights

SWIN = dict(
    arch=dict(
        embed_dims=8, depths=[1, 1], num_heads=[1, 1], extra_norm_every_n_blocks=0
    ),
    img_size=32,
    window_size=[4, 4],
    out_indices=(1,),
)
VIT = dict(
    arch=dict(embed_dims=8, num_layers=1, num_heads=1, feedforward_channels=8),
    patch_size=4,
)


def save(network, path):
    torch.save(network.state_dict(), path)
    return str(path)


def test_tables_that_a_network_derives_are_not_missing(tmp_path):
    source, target = SwinTransformerV2(**SWIN), SwinTransformerV2(**SWIN)
    assert target.load_state_dict(source.state_dict(), strict=False)[0]
    load_weights(target, save(source, tmp_path / 'swin.pth'), 'ckpt')
    for key, value in target.state_dict().items():
        assert torch.equal(value, source.state_dict()[key]), key


def test_a_position_embedding_is_resized(tmp_path):
    source = VisionTransformer(img_size=16, **VIT)
    target = VisionTransformer(img_size=32, **VIT)
    load_weights(target, save(source, tmp_path / 'vit.pth'), 'ckpt')
    for key, value in source.state_dict().items():
        if key == 'pos_embed':
            assert target.pos_embed.shape != value.shape
        else:
            assert torch.equal(value, target.state_dict()[key]), key


@pytest.mark.parametrize(
    'damage, message',
    [
        (lambda weights: weights.pop('0.bias'), r'1 missing from the file: 0\.b'),
        (
            lambda weights: weights.update(more=torch.ones(1)),
            '1 unknown to the network: more',
        ),
        (
            lambda weights: weights.update({'0.bias': torch.ones(3)}),
            r'1 shapes differ: 0\.bias: \(3,\) in the file, \(2,\) in the network',
        ),
    ],
)
def test_what_does_not_fit_is_listed(damage, message, tmp_path):
    network = torch.nn.Sequential(torch.nn.Linear(4, 2))
    weights = network.state_dict()
    damage(weights)
    assert len(fit_state_dict(network, weights)) == 1
    torch.save(weights, tmp_path / 'weights.pth')
    with pytest.raises(ValueError, match=message):
        load_weights(network, str(tmp_path / 'weights.pth'), 'ckpt')


def test_what_lies_under_lora_is_missed(tmp_path):
    network = torch.nn.Sequential(
        LoRAModel(
            dict(type='VisionTransformer', img_size=16, **VIT),
            alpha=1,
            rank=1,
            targets=[dict(type='qkv')],
        )
    )
    path = save(network, tmp_path / 'lora.pth')
    with pytest.raises(ValueError, match=r'missing from the file: 0\.module\.'):
        load_weights(network, path, 'ckpt')
    torch.save({**dict(network.named_parameters())}, path)
    load_weights(network, path, 'ckpt')


def pretrained(path, kind='Pretrained', **cfg):
    return distil(init_cfg=dict(type=kind, checkpoint=path), **cfg)


CONNECTORS = dict(
    type='mmdckd.CollectiveDistiller',
    student_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')),
    teacher_recorders=dict(fc=dict(type='ModuleOutputs', source='head.fc')),
    connectors=dict(
        fc=dict(
            type='TorchNNConnector',
            module_name='Linear',
            module_args=dict(in_features=10, out_features=10),
        )
    ),
    distill_losses=dict(loss_l2=dict(type='L2Loss')),
    loss_forward_mappings=dict(
        loss_l2=dict(
            s_feature=dict(recorder='fc', from_student=True, connector='fc'),
            t_feature=dict(recorder='fc', from_student=False),
        )
    ),
)


def test_a_pretrained_cohort_is_loaded_whole(tmp_path):
    before = distil(seed=1, distiller=CONNECTORS)
    model = pretrained(save(before, tmp_path / 'run.pth'), distiller=CONNECTORS)
    for key, value in before.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key


@pytest.mark.parametrize('kind', ['Pretrained', PretrainedInit])
def test_pretraining_by_mmrazor_is_refused_with_its_keys(kind, tmp_path):
    # MMRazor keeps one student, and its connectors beside it.
    path = tmp_path / 'razor.pth'
    weights = {
        key.replace('students.student0.', '').replace(
            'student_distillers.student0.', ''
        ): value
        for key, value in distil(1, distiller=CONNECTORS).state_dict().items()
    }
    torch.save(dict(state_dict=weights), path)
    with pytest.raises(ValueError) as error:
        pretrained(str(path), kind, distiller=CONNECTORS)
    message = str(error.value)
    assert '`model.init_cfg.checkpoint`' in message
    assert 'unknown to the network: architecture.backbone.conv1' in message
    assert 'missing from the file: architecture.students.student0.b' in message


def test_what_pretraining_lacks_is_said(tmp_path, caplog):
    path = save(
        distil(distiller=dict(type='mmdckd.CollectiveDistiller')), tmp_path / 'run.pth'
    )
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        pretrained(path, distiller=CONNECTORS)
    finally:
        logger.removeHandler(caplog.handler)
    (warning,) = [
        r for r in caplog.records if 'does not contain the whole' in r.message
    ]
    assert warning.levelno == logging.WARNING
    assert 'student_distillers.student0.connectors' in warning.message


def test_a_checkpoint_that_is_no_path_is_named():
    with pytest.raises(ValueError, match='`teacher`: expected the path .*, got 5'):
        distil(teacher=dict(network(), pretrained=5))
    init_cfg = dict(init_cfg=dict(type='Pretrained'))
    student = dict(architecture=network(**init_cfg))
    for key, cfg in dict(architecture=student, model=init_cfg).items():
        message = rf'{key}\.init_cfg\.checkpoint`: .*path .*, got None'
        with pytest.raises(ValueError, match=message):
            distil(**cfg)
