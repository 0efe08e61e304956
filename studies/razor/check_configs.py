# Copyright (c) mmdckd contributors. All rights reserved.
"""Run small versions of converted configs of MMRazor for two iterations."""

import os
import os.path as osp
from typing import Dict, List, Optional

import mmrazor
import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.utils import scandir
from PIL import Image

from mmdckd import names

#: The classification distillation configs of MMRazor.
FOLDER = osp.join(osp.dirname(mmrazor.__file__), '.mim', 'configs', 'distill', 'mmcls')
#: The side in pixels of the images that replace ImageNet's and CIFAR's.
SIDE, CIFAR_SIDE = 64, 32
#: Settings that make a config small.
SMALL = {
    # Its warm-up alone takes 5,000 iterations.
    'kd_logits_resnet50_shufflenet-v2-1x_16xb64_in1k.py': {
        'train_cfg.max_epochs': 10000
    },
    'deit-base_regnety160_pt-16xb64_in1k.py': {
        'model.architecture.backbone.arch': 'deit-tiny',
        'model.architecture.backbone.img_size': SIDE,
        'model.architecture.head.in_channels': 192,
        'model.teacher.backbone.pretrained': False,
        'model.teacher.backbone.model_name': 'regnety_002',
        'model.teacher.head.in_channels': 368,
        'model.teacher.head.init_cfg': None,
    },
}


def razor_configs() -> List[str]:
    """List the paths of all configs below :data:`FOLDER`."""
    return sorted(
        path
        for path in scandir(FOLDER, '.py', recursive=True)
        if f'datasets{osp.sep}' not in path
    )


def make_images(folder: str, side: int) -> None:
    """Write JPEGs of noise, two for each of four classes."""
    random = np.random.default_rng(0)
    for label in range(4):
        os.makedirs(osp.join(folder, f'{side}', f'{label}'), exist_ok=True)
        for number in range(2):
            pixels = random.integers(0, 256, (side, side, 3), np.uint8)
            Image.fromarray(pixels).save(
                osp.join(folder, f'{side}', f'{label}', f'{number}.jpg')
            )


class StopAfterAnEpoch(Hook):
    """Ends training after an epoch without changing the schedule."""

    def after_train_epoch(self, runner: Runner) -> None:
        runner.train_loop.stop_training = True


def run_small(config: Config, name: str, folder: str) -> Dict[str, List]:
    """Train a converted config for two iterations and validate.

    It keeps its networks, losses, pipelines, optimizer, schedule and hooks.
    Images of noise replace the data, with 32 pixels for CIFAR and 64 for
    ImageNet; teachers have random weights.

    Args:
        config (Config): The config, changed in place.
        name (str): The name of its file.
        folder (str): The folder of the images and the run.

    Returns:
        Dict[str, List[float]]: Name to logged values: losses of both iterations
        under ``train/``, and accuracies under ``val/``.
    """
    for side in (CIFAR_SIDE, SIDE):
        make_images(folder, side)
    for loader in (config.train_dataloader, config.val_dataloader):
        _shrink_loader(loader, folder)
    model = config.model
    model.pop('init_cfg', None)
    if 'teacher' in model:
        model.pop('teacher_ckpt', None)
        model.teacher.pop('pretrained', None)
        model.allow_random_teacher = True
    config.merge_from_dict(SMALL.get(name, {}))
    config.train_cfg.val_interval = 1
    config.test_dataloader = config.test_cfg = config.test_evaluator = None
    config.work_dir = osp.join(folder, 'run')
    config.experiment_name = f'{osp.splitext(name)[0]}_{id(config)}'
    config.log_level = 'ERROR'
    runner = Runner.from_cfg(config)
    runner.register_hook(StopAfterAnEpoch())
    runner.train()
    return {
        key: scalar.data[0].tolist()
        for key, scalar in runner.message_hub.log_scalars.items()
        if names.stage_of(key) in ('train', 'val')
    }


def _shrink_loader(loader: ConfigDict, folder: str) -> None:
    loader.batch_size = 4
    loader.num_workers = 0
    loader.persistent_workers = False
    loader.collate_fn = dict(type='default_collate')
    holder, dataset = loader, loader.dataset
    while 'dataset' in dataset:
        holder, dataset = dataset, dataset.dataset
    side = SIDE
    if 'CIFAR' in dataset.type:
        side = CIFAR_SIDE
        dataset.pipeline.insert(0, dict(type='mmpretrain.LoadImageFromFile'))
    for transform in dataset.pipeline:
        for key in ('scale', 'crop_size'):
            if key in transform and side == SIDE:
                transform[key] = SIDE
    holder.dataset = dict(
        type='mmpretrain.CustomDataset',
        data_root=osp.join(folder, f'{side}'),
        test_mode=dataset.get('test_mode', False),
        pipeline=dataset.pipeline,
    )


def fault_of_run(logged: Dict[str, List], config: Config) -> Optional[str]:
    """Check the logged values of :func:`run_small`.

    Args:
        logged (Dict[str, List[float]]): The logged values.
        config (Config): Its config.

    Returns:
        str, optional: The fault; None if there is none.
    """
    model = config.model
    losses = {k: v for k, v in logged.items() if names.stage_of(k) == 'train'}
    for student in names.student_names(model.num_students):
        expected = list(
            names.name_losses(
                names.DISTILL, student, model.distiller.loss_forward_mappings
            )
        )
        if model.get('calculate_student_loss', True):
            expected += names.name_losses(names.STUDENT, student, dict(loss=None))
        for name in expected:
            values = losses.get(names.with_stage('train', name), [])
            if len(values) != 2 or not np.isfinite(values).all():
                return f'{name} is {values} in two iterations'
        top1 = names.metric_name(student, 'accuracy/top1')
        if names.with_stage('val', top1) not in logged:
            return f'{student} was not validated'
    return None
