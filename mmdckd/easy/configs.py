# Copyright (c) mmdckd contributors. All rights reserved.
"""Generates the configs of a run, in the form a person would write."""

import copy
import os.path as osp
from tempfile import TemporaryDirectory
from typing import Callable, Dict, List, Optional

from mmengine.config import Config

from mmdckd.engine.speed import use_amp
from mmdckd.io.config_text import format_config
from mmdckd.io.files import replacing

from .given_data import FILES, TENSORS
from .networks import NamedNetwork
from .recipe import OPTIMIZERS, Recipe
from .source import Source

#: The config that every generated config inherits.
BASE = 'mmdckd::_base_/cohort.py'
#: Mean and standard deviation of ImageNet's pixels, 0 to 255, RGB.
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def student_config(
    source: Source,
    recipe: Recipe,
    student: NamedNetwork,
    num_students: int,
    teacher: Optional[dict] = None,
    seed: int = 0,
) -> dict:
    """Return the settings of a cohort that learns from labeled images.

    Args:
        source (Source): The data.
        recipe (Recipe): How to train.
        student (NamedNetwork): The network of every student.
        num_students (int): The number of students; 1 learns alone or from the
            teacher.
        teacher (dict, optional): The config of a trained teacher. Defaults to
            None: the students learn only from each other.
        seed (int): The seed of the run. Defaults to 0.

    Returns:
        dict: The settings to add to :data:`BASE`.
    """
    losses: Dict[str, dict] = {}
    if num_students > 1 or teacher is not None:
        losses = dict(loss_dckd=dict(type='mmdckd.DCKDLoss'))
        if num_students == 1:
            losses['loss_dckd'].update(beta=0.0, gamma=0.0)
        elif teacher is None:
            losses['loss_dckd'].update(alpha=0.0)
    distiller: dict = dict(type='mmdckd.CollectiveDistiller')
    if losses:
        distiller['collective_losses'] = losses
    model = dict(
        architecture=student.config, num_students=num_students, distiller=distiller
    )
    if teacher is not None:
        model['teacher'] = teacher
    hooks: dict = dict(logger=dict(interval=recipe.log_interval))
    if recipe.chose_workers:
        hooks['data_time'] = None  # its advice would contradict the recipe
    labels = dict(labels=source.labels) if source.labels else {}
    return dict(
        model=model,
        randomness=dict(seed=seed),
        default_hooks=hooks,
        # Nothing reads it but the check of a run that resumes.
        images=dict(count=len(source), digest=source.digest, **labels),
        **_data(source, recipe),
        **_schedule(recipe),
    )


def write_config(
    settings: dict, path: str, change: Optional[Callable[[Config], None]] = None
) -> Config:
    """Write a config file, and read it back as ``mmdckd train`` does.

    Args:
        settings (dict): The settings to add to :data:`BASE`.
        path (str): The file.
        change (Callable, optional): Changes the config in place; the changes
            are written too. Defaults to None.

    Returns:
        Config: The config.
    """
    if change is not None:
        base = _write({}, path)
        cfg = _write(settings, path)
        before = copy.deepcopy(cfg)
        change(cfg)
        for key, value in cfg.to_dict().items():
            if value != before.get(key):
                # Write all of the value, so that nothing is inherited from the base.
                whole = isinstance(value, dict) and key in base
                settings = {
                    **settings,
                    key: dict(_delete_=True, **value) if whole else value,
                }
    return _write(settings, path)


def make_config(settings: dict, change: Optional[Callable[[Config], None]]) -> Config:
    """Return the config that :func:`write_config` writes, without leaving a file."""
    with TemporaryDirectory() as folder:
        return write_config(settings, osp.join(folder, 'run.py'), change)


def _write(settings: dict, path: str) -> Config:
    with replacing(path) as new:
        with open(new, 'w', encoding='utf-8') as file:
            file.write(f'_base_ = {BASE!r}\n\n{format_config(settings)}')
    return Config.fromfile(path)


def _train_pipeline(recipe: Recipe) -> List[dict]:
    size = recipe.image_size
    moved = dict(type='RandomCrop', crop_size=size, padding=max(1, size // 8))
    mirrored = dict(type='RandomFlip', prob=0.5, direction='horizontal')
    scaled = dict(type='RandomResizedCrop', scale=size, crop_ratio_range=(0.35, 1.0))
    return {
        'none': _to_size(recipe),
        'shift': [*_to_size(recipe), moved],
        'flip': [*_to_size(recipe), moved, mirrored],
        'crop': [scaled, mirrored],
    }[recipe.augmentation]


def _to_size(recipe: Recipe) -> List[dict]:
    size = recipe.image_size
    if recipe.is_small:
        return [dict(type='Resize', scale=(size, size))]
    return [
        dict(type='ResizeEdge', scale=round(size * 8 / 7), edge='short'),
        dict(type='CenterCrop', crop_size=size),
    ]


def _data(source: Source, recipe: Recipe) -> dict:
    train, test = _train_pipeline(recipe), _to_size(recipe)
    if source.kind == FILES:
        # MMPretrain's own transform, because exported students are tested with it.
        train = [dict(type='mmdckd.LoadImage'), *train]
        test = [dict(type='LoadImageFromFile'), *test]

    def loader(dataset: dict, pipeline: List[dict], shuffle: bool = False) -> dict:
        # A dataset of tensors packs them itself: an exported student cannot
        # load such tensors from files.
        if source.kind != TENSORS:
            dataset = dict(dataset, pipeline=[*pipeline, dict(type='PackInputs')])
        return dict(
            batch_size=recipe.batch_size,
            num_workers=recipe.num_workers,
            dataset=dataset,
            sampler=dict(type='DefaultSampler', shuffle=shuffle),
        )

    train_loader = loader(source.train, train, shuffle=True)
    if recipe.drop_last:
        train_loader['drop_last'] = True
    val = loader(source.val, test)
    topk = (1, 5) if source.num_classes > 5 else (1,)
    evaluator = dict(type='Accuracy', topk=topk)
    preprocessor: dict = dict(num_classes=source.num_classes)
    if source.kind != TENSORS:
        preprocessor.update(mean=MEAN, std=STD, to_rgb=True)
    return dict(
        data_preprocessor=preprocessor,
        train_dataloader=train_loader,
        val_dataloader=val,
        test_dataloader=val if source.test is None else loader(source.test, test),
        val_evaluator=evaluator,
        test_evaluator=evaluator,
    )


def _schedule(recipe: Recipe) -> dict:
    epochs, warm_up = recipe.epochs, recipe.warm_up
    schedule = [
        dict(type='LinearLR', start_factor=0.1, end=warm_up, convert_to_iter_based=True)
    ]
    if epochs > warm_up:
        schedule.append(
            dict(
                type='CosineAnnealingLR',
                begin=warm_up,
                T_max=epochs - warm_up,
                end=epochs,
                convert_to_iter_based=True,
            )
        )
    _, weight_decay = OPTIMIZERS[recipe.optimizer]
    optimizer = (
        dict(type='SGD', lr=recipe.lr, momentum=0.9, weight_decay=weight_decay)
        if recipe.optimizer == 'sgd'
        else dict(type='AdamW', lr=recipe.lr, weight_decay=weight_decay)
    )
    wrapper: dict = dict(optimizer=optimizer)
    if recipe.amp:
        use_amp(wrapper)
    return dict(
        optim_wrapper=wrapper,
        param_scheduler=schedule,
        train_cfg=dict(by_epoch=True, max_epochs=epochs, val_interval=1),
        val_cfg=dict(type='mmdckd.CollectiveValLoop'),
        test_cfg=dict(type='mmdckd.CollectiveTestLoop'),
    )
