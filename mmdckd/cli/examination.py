# Copyright (c) mmdckd contributors. All rights reserved.
"""What is installed, what was patched, and what would not work."""

import tempfile
from importlib.metadata import (
    PackageNotFoundError,
    packages_distributions,
    requires,
    version,
)
from importlib.util import find_spec
from typing import List, NamedTuple, Optional

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import DefaultScope
from packaging.requirements import Requirement

from mmdckd import compat
from mmdckd.registry import MODELS
from mmdckd.version import __version__

#: Extra to the modules that it brings, and what does not work without them.
EXTRAS = dict(
    onnx=(
        ('onnx', 'onnxscript', 'onnxruntime'),
        'tools/export_student.py --onnx, and predicting with .onnx',
    ),
    safetensors=(('safetensors',), 'students as .safetensors'),
    tensorboard=(('tensorboard',), 'the TensorBoard back end'),
)


class Report(NamedTuple):
    """What was found.

    Attributes:
        lines (List[str]): What to print.
        healthy (bool): Whether cohorts can be trained here.
    """

    lines: List[str]
    healthy: bool


def examine() -> Report:
    """Look at the packages, the remedies and the devices, and train a step.

    Returns:
        Report: What was found.
    """
    # First, as it imports what some remedies are for.
    faults = [fault for fault in (train_step(), find_config()) if fault]
    lines = ['Versions']
    lines += [f'  {name:12} {number}' for name, number in versions().items()]
    lines += ['', 'Patched, and why']
    lines += [f'  {name}: {why}' for name, why in compat.APPLIED.items()] or [
        '  nothing'
    ]
    lines += ['', 'Devices', f'  used: {get_device()}']
    lines += [
        f'  cuda:{index}: {torch.cuda.get_device_name(index)}'
        for index in range(torch.cuda.device_count())
    ]
    lines += ['', 'What would not work']
    lines += [f'  FAULT {fault}' for fault in faults]
    lines += [f'  {note}' for note in notes()]
    lines.append('' if faults else '  (cohorts train: a step was made)')
    return Report(lines, not faults)


def versions() -> dict:
    """The version of every package that mmdckd needs, by module."""
    providers = packages_distributions()
    found = dict(mmdckd=__version__)
    for module in compat.REQUIRED:
        names = sorted(set(providers.get(module, [module])))
        found[module] = ', '.join(
            version(name) if name == module else f'{version(name)} ({name})'
            for name in names
        )
    return found


def notes() -> List[str]:
    """What does not work, and is not needed to train on one device."""
    found = []
    if not torch.cuda.is_available():
        found.append(f'training on a GPU: torch {torch.__version__} sees none')
    fault = torchvision_fault()
    if fault:
        found.append(fault)
    if find_spec('mmcv._ext') is None:
        found.append(
            'networks with operators of mmcv (deformable '
            'convolution, ...): the installed mmcv has none, as '
            'mmcv-lite'
        )
    for extra, (modules, what) in EXTRAS.items():
        missing = [name for name in modules if find_spec(name) is None]
        if missing:
            found.append(
                f"{what}: {', '.join(missing)} missing (pip install 'mmdckd[{extra}]')"
            )
    return found


def torchvision_fault() -> Optional[str]:
    """Say whether torchvision is one for another torch."""
    try:
        needed = [Requirement(line) for line in requires('torchvision') or []]
    except PackageNotFoundError:
        return None
    for requirement in needed:
        if requirement.name == 'torch' and not requirement.specifier.contains(
            version('torch').split('+')[0], prereleases=True
        ):
            return (
                f'operators of torchvision {version("torchvision")}: it '
                f'is for torch{requirement.specifier}, and torch is '
                f'{version("torch")}'
            )
    if 'torchvision_operators' in compat.APPLIED:
        return (
            'operators of torchvision: they do not load beside torch '
            f'{torch.__version__}; classification needs none'
        )
    return None


def train_step() -> Optional[str]:
    """Train a tiny cohort for one step; return what is wrong."""
    network = dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(type='ResNet_CIFAR', depth=18, stem_channels=4, base_channels=4),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=2, in_channels=32),
    )
    try:
        from mmpretrain.structures import DataSample

        with DefaultScope.overwrite_default_scope('mmpretrain'):
            model = MODELS.build(
                dict(
                    type='mmdckd.CollectiveDistill',
                    architecture=network,
                    num_students=2,
                    teacher=network,
                    allow_random_teacher=True,
                    data_preprocessor=dict(type='ClsDataPreprocessor'),
                    distiller=dict(
                        type='mmdckd.CollectiveDistiller',
                        collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
                    ),
                )
            )
        model.init_weights()
        model.to(get_device())
        batch = model.data_preprocessor(
            dict(
                inputs=torch.randint(0, 256, (4, 3, 8, 8)),
                data_samples=[DataSample().set_gt_label(i % 2) for i in range(4)],
            ),
            True,
        )
        losses = model(**batch, mode='loss')
        total, _ = model.parse_losses(losses)
        total.backward()
    except Exception as error:  # whatever it is, it is what is wrong
        return f'training a cohort: {type(error).__name__}: {error}'
    return None


def find_config() -> Optional[str]:
    """Inherit from a shipped config; return what is wrong."""
    with tempfile.NamedTemporaryFile('w', suffix='.py') as file:
        file.write("_base_ = 'mmdckd::dckd_r34_r18_imagenet.py'\n")
        file.flush()
        try:
            Config.fromfile(file.name)
        except Exception as error:  # as above
            return f"_base_ = 'mmdckd::...': {type(error).__name__}: {error}"
    return None
