# Copyright (c) mmdckd contributors. All rights reserved.
import torch
from mmengine.config import Config

from helpers.networks import PREPROCESSOR, build
from mmdckd.export import export_onnx
from mmdckd.inference.predictor import Predictor

CONFORMER = dict(
    type='ImageClassifier',
    backbone=dict(
        type='Conformer',
        arch=dict(embed_dims=24, depths=3, num_heads=2, channel_ratio=1),
        base_channels=8,
    ),
    head=dict(
        type='ConformerHead',
        num_classes=10,
        in_channels=[32, 24],
        loss=dict(type='CrossEntropyLoss'),
    ),
)


def test_a_conformer_gives_the_sum_of_its_outputs(images, tmp_path):
    torch.manual_seed(0)
    model = build(**CONFORMER)
    weights, config = str(tmp_path / 'own.pth'), str(tmp_path / 'own.py')
    torch.save(dict(state_dict=model.state_dict()), weights)
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='Resize', scale=(32, 32)),
        dict(type='PackInputs'),
    ]
    preprocessor = {k: v for k, v in PREPROCESSOR.items() if k != 'type'}
    Config(
        dict(
            model=CONFORMER,
            data_preprocessor=preprocessor,
            test_dataloader=dict(dataset=dict(pipeline=pipeline)),
            load_from=weights,
        )
    ).dump(config)

    onnx = str(tmp_path / 'own.onnx')
    export_onnx(config, onnx)

    expected, found = (Predictor(file, device='cpu') for file in (weights, onnx))
    batch = [expected.read(path) for path in images]
    assert torch.allclose(found(batch), expected(batch), atol=1e-5)
