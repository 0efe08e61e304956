# Copyright (c) mmdckd contributors. All rights reserved.
"""Build runs to measure: real runners that stop before the first iteration."""

import itertools
import os.path as osp
from contextlib import ExitStack
from pathlib import Path
from typing import Callable, Optional

# It has to be imported before OpenMMLab's packages, to make them importable.
import mmdckd  # isort: skip  # noqa: F401
from mmengine.config import Config
from mmengine.runner import Runner

ROOT = Path(__file__).parents[2]
COHORT = str(ROOT / 'configs/_base_/cohort.py')
PLAIN = 'mmpretrain::_base_/default_runtime.py'
FC = dict(type='mmrazor.ModuleOutputs', source='head.fc')
#: MMRazor's config of KL to the teacher.
KD = dict(
    student_recorders=dict(fc=FC),
    teacher_recorders=dict(fc=FC),
    distill_losses=dict(
        loss_kl=dict(type='mmrazor.KLDivergence', tau=4.0, loss_weight=1.0)
    ),
    loss_forward_mappings=dict(
        loss_kl=dict(
            preds_S=dict(recorder='fc', from_student=True),
            preds_T=dict(recorder='fc', from_student=False),
        )
    ),
)
DCKD = dict(
    type='mmdckd.CollectiveDistiller',
    collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
)
#: The same for one student without peers.
TEACHER_ONLY = dict(
    type='mmdckd.CollectiveDistiller',
    collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss', beta=0.0, gamma=0.0)),
)
MEAN, STD = [80.0] * 3, [90.0] * 3

_number = itertools.count()


class Setting:
    """Networks and images.

    Args:
        teacher (dict): The teacher's network.
        student (dict): The students' network.
        classes (int): The number of classes.
        batch_size (int): The number of images in a batch.
        pipeline (list): The transforms of an image of 8x8 pixels.
    """

    def __init__(
        self,
        teacher: dict,
        student: dict,
        classes: int,
        batch_size: int,
        pipeline: list,
    ) -> None:
        self.teacher = teacher
        self.student = student
        self.classes = classes
        self.batch_size = batch_size
        self.pipeline = pipeline

    def collective(self, num_students: int, distiller: Optional[dict] = None) -> dict:
        """Return the model of a cohort, by default with DCKDLoss."""
        if distiller is None:
            distiller = TEACHER_ONLY if num_students == 1 else DCKD
        return dict(
            type='mmdckd.CollectiveDistill',
            teacher=self.teacher,
            allow_random_teacher=True,
            architecture=self.student,
            num_students=num_students,
            distiller=distiller,
        )

    def single(self) -> dict:
        """Return MMRazor's model of one student."""
        return dict(
            type='mmrazor.SingleTeacherDistill',
            architecture=self.student,
            teacher=self.teacher,
            teacher_trainable=False,
            distiller=dict(type='mmrazor.ConfigurableDistiller', **KD),
        )


def cifar(
    batch_size: Optional[int] = None,
    depth: int = 20,
    classes: int = 100,
    size: int = 32,
) -> Setting:
    """ResNet-56 and ResNet-20 of CIFAR."""

    def network(layers: int) -> dict:
        return dict(
            type='mmpretrain.ImageClassifier',
            backbone=dict(type='mmdckd.CIFARResNet', depth=layers),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(
                type='LinearClsHead',
                num_classes=classes,
                in_channels=64,
                loss=dict(type='CrossEntropyLoss'),
            ),
        )

    return Setting(
        network(56),
        network(depth),
        classes,
        batch_size or 64,
        [
            dict(type='Resize', scale=size),
            dict(type='RandomCrop', crop_size=size, padding=size // 8),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackInputs'),
        ],
    )


def imagenet(batch_size: Optional[int] = None) -> Setting:
    """ResNet-34 and ResNet-18 at 224x224."""

    def network(depth: int) -> dict:
        return dict(
            cfg_path=f'mmpretrain::resnet/resnet{depth}_8xb32_in1k.py', pretrained=False
        )

    return Setting(
        network(34),
        network(18),
        1000,
        batch_size or 4,
        [
            dict(type='RandomResizedCrop', scale=224),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackInputs'),
        ],
    )


SETTINGS = dict(cifar=cifar, imagenet=imagenet)


class Run:
    """A run whose iterations are started one by one.

    Args:
        setting (Setting): Its images.
        model (dict): Its model.
        base (str): The config from which it inherits its hooks.
        work_dir (str): The folder for its files.
        **kwargs: Other changes of the config.
    """

    def __init__(
        self, setting: Setting, model: dict, base: str, work_dir: str, **kwargs
    ) -> None:
        name = f'run{next(_number)}'
        loader = dict(
            batch_size=setting.batch_size,
            num_workers=0,
            dataset=dict(
                type='mmdckd.Digits', split='train', pipeline=setting.pipeline
            ),
            sampler=dict(type='InfiniteSampler', shuffle=True),
        )
        own = dict(
            experiment_name=name,
            work_dir=osp.join(work_dir, name),
            log_level='ERROR',
            default_scope='mmpretrain',
            model=model,
            data_preprocessor=dict(
                type='mmpretrain.ClsDataPreprocessor',
                num_classes=setting.classes,
                mean=MEAN,
                std=STD,
            ),
            train_dataloader=loader,
            train_cfg=dict(by_epoch=False, max_iters=10**6),
            optim_wrapper=dict(
                optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4)
            ),
            default_hooks=dict(
                checkpoint=dict(by_epoch=False, interval=10**6, save_best=None)
            ),
        )
        cfg = Config.fromstring(f'_base_ = {base!r}', '.py')
        for key in ('val_cfg', 'test_cfg'):
            cfg.pop(key, None)
        if 'check_labels' in cfg.default_hooks:
            # The images have 10 classes, whatever the networks' number is.
            cfg.default_hooks.check_labels.allow_missing = True
        cfg.merge_from_dict(own)
        cfg.merge_from_dict(kwargs)
        self.runner = Runner.from_cfg(cfg)
        self.loop = self.runner.train_loop
        self.loop.run = self._begin
        self.runner.train()

    def _begin(self) -> None:
        """Do what a loop does before its first iteration."""
        self.loop.at_end = ExitStack()  # it never ends
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        passes = getattr(self.loop, '_passes', None)
        self.batches = passes() if passes else self.loop.dataloader_iterator

    @property
    def model(self):
        """nn.Module: The model."""
        return self.runner.model

    def load(self) -> dict:
        """Load the next batch."""
        return next(self.batches)

    def iterate(self, batch: dict) -> None:
        """Train on a batch, with all hooks of the run."""
        self.loop.run_iter(batch)

    def iterations(self, number: int) -> Callable[[], None]:
        """Return a function to time: an iteration on a loaded batch.

        Args:
            number (int): The number of iterations.
        """
        batches = [self.load() for _ in range(number)]
        return lambda: self.iterate(batches.pop())
