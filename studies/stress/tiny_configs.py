# Copyright (c) mmdckd contributors. All rights reserved.
"""Shrink configs of the repository so that they train in seconds."""

import json
import os.path as osp

from mmengine.config import Config

from mmdckd.cli.config_keys import RUNNER_KEYS

REPO = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))

CONFIGS = (
    'dckd_r34_r18_digits.py',
    'dckd_r34_r18_imagenet.py',
    'teachers/resnet34_digits.py',
    'dml/dml_r18_digits.py',
    'plain/plain_r18_digits.py',
    'codistillation/codistillation_r18_digits.py',
    'codistillation/ema_peers_r18_digits.py',
    'kdcl/kdcl_general_r18_digits.py',
    'kdcl/kdcl_linear_r18_digits.py',
    'one/one_r18_digits.py',
    'dckd/dckd_crd_r34_r18_imagenet.py',
    'dckd/dckd_dist_r34_r18_imagenet.py',
    'dckd/dckd_dkd_r34_r18_imagenet.py',
    'dckd/dckd_fitnets_r34_r18_imagenet.py',
)


def tiny_config(name: str) -> dict:
    """Return a config of the repository on 32 digits, with two students and a
    teacher that start from random weights."""
    cfg = Config.fromfile(osp.join(REPO, 'configs', name))
    if 'imagenet' in cfg.get('dataset_type', '').lower():
        _use_digits(cfg)
    cfg.train_dataloader.update(batch_size=16)
    cfg.train_dataloader.dataset.indices = 32
    for stage in ('val', 'test'):
        cfg[f'{stage}_dataloader'].update(batch_size=16)
        cfg[f'{stage}_dataloader'].dataset.indices = 16
    # With so few images, some classes have none.
    cfg.default_hooks.check_labels.allow_missing = True
    if 'num_students' in cfg.model:
        cfg.model.num_students = 2
        losses = cfg.model.distiller.get('collective_losses') or {}
        for loss in losses.values():
            if 'num_students' in loss:
                loss.num_students = 2
    if cfg.model.pop('teacher_ckpt', None) or 'teacher' in cfg.model:
        cfg.model.allow_random_teacher = True
    # Without the variables of the config file, which are no longer needed.
    return json.loads(
        json.dumps(
            {key: value for key, value in cfg.to_dict().items() if key in RUNNER_KEYS}
        )
    )


def _use_digits(cfg: Config) -> None:
    """Replace the images of an ImageNet config by digits, and shrink its networks."""
    digits = Config.fromfile(
        osp.join(REPO, 'configs', '_base_', 'datasets', 'digits.py')
    )
    crd = cfg.train_dataloader.dataset.pipeline[-1]
    for key in (
        'dataset_type',
        'data_preprocessor',
        'train_dataloader',
        'val_dataloader',
        'test_dataloader',
        'train_pipeline',
    ):
        cfg[key] = digits[key]
    cfg.pop('bgr_mean', None), cfg.pop('bgr_std', None)
    if 'CRD' in crd.type:
        cfg.train_dataloader.dataset.pipeline[-1] = dict(
            crd, num_images=32, num_negatives=16
        )
        cfg.model.distiller.distill_losses.loss_crd.update(sample_n=32, neg_num=16)
        for connector in cfg.model.distiller.connectors.values():
            connector.dim_in = 64
    for network in (cfg.model.teacher, cfg.model.architecture):
        network.pop('pretrained')
        network.backbone = dict(stem_channels=8, base_channels=8)
        network.head = dict(num_classes=10, in_channels=64)
