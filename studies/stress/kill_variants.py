# Copyright (c) mmdckd contributors. All rights reserved.
"""The trainings that kill_training.py kills, one for each part of a run that has
state."""

import os.path as osp
from typing import Any, Dict

from mmengine.config import Config

REPO = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
CONFIG = osp.join(REPO, 'configs', 'dckd_r34_r18_digits.py')

BATCH, IMAGES, EPOCHS = 16, 80, 5
ITERATIONS = IMAGES // BATCH * EPOCHS

_DCKD = 'model.distiller.collective_losses.loss_dckd'
_EMA = dict(type='EMAHook', momentum=0.1)
_AMP = {'optim_wrapper.type': 'mmdckd.CPUAmpOptimWrapper'}
_BY_ITERATION = {
    'train_cfg': dict(
        by_epoch=False, max_iters=ITERATIONS, val_interval=7, _delete_=True
    ),
    'default_hooks.logger.log_metric_by_epoch': False,
    'default_hooks.checkpoint.by_epoch': False,
    'default_hooks.checkpoint.interval': 2,
    'param_scheduler': [
        dict(type='CosineAnnealingLR', T_max=ITERATIONS, by_epoch=False)
    ],
}

VARIANTS: Dict[str, Dict[str, Any]] = {
    'by epoch': {},
    'EMA': {'custom_hooks': [_EMA]},
    'mixup': {
        'data_preprocessor.batch_augments': dict(
            augments=[dict(type='Mixup', alpha=1.0)]
        )
    },
    'accumulation': {
        'optim_wrapper.accumulative_counts': 2,
        'default_hooks.checkpoint.by_epoch': False,
        'default_hooks.checkpoint.interval': 3,
    },
    'ramp': {f'{_DCKD}.ramp': dict(end=3.5)},
    'lagged peers': {'model.lagged_peers': dict(momentum=0.5, interval=3)},
    'trainable teacher': {'model.teacher_trainable': True},
    'bf16': {**_AMP, 'optim_wrapper.dtype': 'bfloat16'},
    'fp16': {
        **_AMP,
        'optim_wrapper.dtype': 'float16',
        'optim_wrapper.loss_scale': 'dynamic',
    },
    'AdamW, plateau, early stopping': {
        'optim_wrapper.optimizer': dict(type='AdamW', lr=0.003, _delete_=True),
        'param_scheduler': [
            dict(
                type='ReduceOnPlateauLR',
                monitor='best/accuracy/top1',
                rule='greater',
                patience=1,
                factor=0.5,
            )
        ],
        'custom_hooks': [
            dict(
                type='EarlyStoppingHook',
                monitor='best/accuracy/top1',
                rule='greater',
                patience=3,
            )
        ],
    },
    'max_keep_ckpts=1': {'default_hooks.checkpoint.max_keep_ckpts': 1},
    'export hook': {'custom_hooks': [_EMA, dict(type='mmdckd.ExportStudentHook')]},
    'by iteration': {
        **_BY_ITERATION,
        'custom_hooks': [_EMA],
        'model.lagged_peers': dict(momentum=0.5, interval=3),
    },
    'two metrics, published': {
        'default_hooks.checkpoint.save_best': [
            'best/accuracy/top1',
            'ensemble/accuracy/top1',
        ],
        'default_hooks.checkpoint.published_keys': ['meta', 'state_dict'],
    },
    'validation every 2 epochs': {'train_cfg.val_interval': 2},
}
"""dict[str, dict]: Name to the settings that it changes."""


def config_of(variant: str, work_dir: str, workers: int) -> Config:
    """Return the config of a training whose result depends on every step.

    Args:
        variant (str): One of :data:`VARIANTS`.
        work_dir (str): The work folder.
        workers (int): The number of data loader workers.
    """
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(
        dict(
            work_dir=work_dir,
            experiment_name='kills',
            log_level='WARNING',
            resume=True,
            model=dict(teacher_ckpt=None, allow_random_teacher=True, num_students=2),
            train_dataloader=dict(
                batch_size=BATCH,
                num_workers=workers,
                persistent_workers=workers > 0,
                dataset=dict(indices=IMAGES),
            ),
            val_dataloader=dict(batch_size=20, dataset=dict(indices=60)),
            test_dataloader=dict(batch_size=20, dataset=dict(indices=60)),
            train_cfg=dict(max_epochs=EPOCHS, val_interval=1),
            default_hooks=dict(
                logger=dict(interval=1), checkpoint=dict(interval=1, max_keep_ckpts=2)
            ),
        )
    )
    cfg.model.teacher = cfg.model.architecture
    cfg.param_scheduler = [
        dict(type='CosineAnnealingLR', T_max=ITERATIONS, by_epoch=False)
    ]
    cfg.merge_from_dict(VARIANTS[variant])
    return cfg
