# Copyright (c) mmdckd contributors. All rights reserved.
"""Examines the installation: versions, patches, devices, and what fails."""

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

#: Optional extras: the modules each installs, and what needs them.
EXTRAS = dict(
    cluster=(('submitit',), '`executor` of a sweep'),
    fonts=(('fontTools',), 'tools/datasets/make_glyph62.py'),
    onnx=(
        ('onnx', 'onnxscript', 'onnxruntime'),
        'mmdckd export --onnx and --int8, and mmdckd predict with .onnx files',
    ),
    safetensors=(('safetensors',), 'exporting students as .safetensors'),
    tensorboard=(('tensorboard',), 'the TensorBoard backend'),
    timm=(('timm',), 'networks of timm'),
    transformers=(('transformers',), 'networks of Hugging Face'),
)


class Report(NamedTuple):
    """The result of an examination.

    Attributes:
        lines (List[str]): The lines to print.
        healthy (bool): Whether cohorts can be trained here.
    """

    lines: List[str]
    healthy: bool


def examine() -> Report:
    """Examine packages, remedies and devices, and train a cohort for one step.

    Returns:
        Report: The result.
    """
    # First, because it imports the modules that some remedies patch.
    faults = [fault for fault in (train_step(), find_config()) if fault]
    lines = ['Versions']
    lines += [f'  {name:12} {number}' for name, number in versions().items()]
    lines += ['', 'Patches and their reasons']
    lines += [f'  {name}: {why}' for name, why in compat.APPLIED.items()] or ['  none']
    lines += ['', 'Devices', f'  in use: {get_device()}']
    lines += [
        f'  cuda:{index}: {torch.cuda.get_device_name(index)}'
        for index in range(torch.cuda.device_count())
    ]
    lines += ['', 'What does not work']
    lines += [f'  FAULT {fault}' for fault in faults]
    lines += [f'  {note}' for note in notes()]
    lines.append('' if faults else '  (training works: a tiny cohort made one step)')
    return Report(lines, not faults)


def versions() -> dict:
    """Return the version of every package that mmdckd needs, by module."""
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
    """List what does not work but is not needed to train on one device."""
    found = []
    if not torch.cuda.is_available():
        found.append(f'training on a GPU: torch {torch.__version__} finds none')
    fault = torchvision_fault()
    if fault:
        found.append(fault)
    if find_spec('mmcv._ext') is None:
        found.append(
            'networks that use mmcv operators (deformable convolution, ...): '
            'the installed mmcv has no compiled operators, like mmcv-lite'
        )
    for extra, (modules, what) in EXTRAS.items():
        missing = [name for name in modules if find_spec(name) is None]
        if missing:
            found.append(
                f"{what}: {', '.join(missing)} missing (pip install 'mmdckd[{extra}]')"
            )
    return found


def torchvision_fault() -> Optional[str]:
    """Return what is wrong if torchvision was built for another torch."""
    try:
        needed = [Requirement(line) for line in requires('torchvision') or []]
    except PackageNotFoundError:
        return None
    for requirement in needed:
        if requirement.name == 'torch' and not requirement.specifier.contains(
            version('torch').split('+')[0], prereleases=True
        ):
            return (
                f'operators of torchvision {version("torchvision")}: it needs '
                f'torch{requirement.specifier}, but torch {version("torch")} is '
                'installed'
            )
    if 'torchvision_operators' in compat.APPLIED:
        return (
            f'operators of torchvision: they do not load with torch '
            f'{torch.__version__}; classification does not need them'
        )
    return None


def train_step() -> Optional[str]:
    """Train a tiny cohort for one step; return what fails, if anything."""
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
    except Exception as error:  # report it, whatever it is
        return f'training a cohort: {type(error).__name__}: {error}'
    return None


def find_config() -> Optional[str]:
    """Inherit from a shipped config; return what fails, if anything."""
    with tempfile.NamedTemporaryFile('w', suffix='.py') as file:
        file.write("_base_ = 'mmdckd::dckd_r34_r18_imagenet.py'\n")
        file.flush()
        try:
            Config.fromfile(file.name)
        except Exception as error:  # as above
            return f"_base_ = 'mmdckd::...': {type(error).__name__}: {error}"
    return None
