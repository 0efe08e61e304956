# Copyright (c) mmdckd contributors. All rights reserved.
"""Short real runs of cohorts on real digits, and what they predict."""

import functools
import itertools

import torch
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.registry import DefaultScope
from mmengine.runner import Runner, load_checkpoint
from mmpretrain.registry import DATASETS, TRANSFORMS

from helpers.networks import network, shallow
from mmdckd.engine.cpu_processes import use_cpu_processes
from mmdckd.registry import MODELS

_number = itertools.count()
# To each channel its own, so that their order is told from the scores.
PREPROCESSOR = dict(
    num_classes=10, mean=[60.0, 80.0, 100.0], std=[70.0, 90.0, 110.0], to_rgb=True
)
DISTILLER = dict(
    type='mmdckd.CollectiveDistiller',
    collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
)


def loader(split, **kwargs):
    return dict(
        batch_size=32,
        num_workers=0,
        dataset=dict(
            type='mmdckd.Digits',
            split=split,
            pipeline=[dict(type='Resize', scale=12), dict(type='PackInputs')],
            **kwargs,
        ),
        sampler=dict(type='DefaultSampler', shuffle=split == 'train'),
    )


def with_unlabeled(loader, share, indices=70):
    """A dataloader that adds images of the validation split."""
    labeled = loader['dataset']
    unlabeled = dict(labeled, split='val', indices=indices)
    loader['dataset'] = dict(
        type='mmdckd.WithUnlabeled', dataset=labeled, unlabeled=unlabeled
    )
    loader['batch_sampler'] = dict(
        type='mmdckd.MixedBatchSampler', unlabeled_share=share
    )
    return loader


def run_config(work_dir, cohort=None, **kwargs):
    """The config of a run of two epochs of four iterations."""
    model = dict(type='mmdckd.CollectiveDistill', distiller=DISTILLER)
    model.update(teacher=network(34), allow_random_teacher=True)
    model.update(cohort or dict(architecture=network(), num_students=2))
    name = f'run{next(_number)}'
    cfg = dict(
        default_scope='mmpretrain',
        experiment_name=name,
        work_dir=str(work_dir / name),
        randomness=dict(seed=1),
        model=model,
        data_preprocessor=PREPROCESSOR,
        train_dataloader=loader('train', indices=128),
        train_cfg=dict(by_epoch=True, max_epochs=2, val_interval=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9)),
        val_dataloader=loader('val', indices=40),
        val_cfg=dict(type='mmdckd.CollectiveValLoop'),
        val_evaluator=dict(type='Accuracy', topk=(1, 5)),
        test_dataloader=loader('test', indices=40),
        test_cfg=dict(type='mmdckd.CollectiveTestLoop'),
        test_evaluator=dict(type='Accuracy', topk=(1, 5)),
        default_hooks=dict(
            checkpoint=dict(
                type='mmdckd.CohortCheckpointHook', save_best='best/accuracy/top1'
            )
        ),
    )
    cfg.update(kwargs)
    return Config(cfg, format_python_code=False)


def shallow_cohort(num_students=2, **kwargs):
    """A cohort for :func:`run_config`, whose steps take half the time."""
    cohort = dict(architecture=shallow(), num_students=num_students)
    return dict(cohort, teacher=shallow(width=6), **kwargs)


def train(cfg):
    use_cpu_processes(cfg)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


class TrainedRun:
    """What a run has left in a folder; where there is none yet, it is trained.

    Attributes:
        cfg (Config): The config of :func:`run_config`.
        work_dir (Path): With the checkpoints of both epochs.
        best_student (str): As the run has told.
    """

    def __init__(self, folder):
        done = folder / 'done'
        self.work_dir = folder / 'run'
        self.cfg = run_config(folder, experiment_name='trained')
        self.cfg.work_dir = str(self.work_dir)
        if not done.exists():
            runner = train(self.cfg)
            done.write_text(runner.message_hub.get_info('best_student'))
        self.best_student = done.read_text()

    @property
    def checkpoint(self):
        """Path: That of the last epoch."""
        return self.work_dir / 'epoch_2.pth'

    @functools.cached_property
    def model(self):
        """CollectiveDistill: With the weights of the checkpoint."""
        return cohort_of(str(self.checkpoint), self.cfg)


def cohort_of(checkpoint, cfg):
    """The algorithm of a run with the weights of a checkpoint."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build({'data_preprocessor': dict(PREPROCESSOR), **cfg.model})
    load_checkpoint(model, checkpoint, map_location='cpu', strict=True)
    return model.eval()


def pack(images, cfg):
    """Image files as the test pipeline of a run packs them."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose(
            [
                TRANSFORMS.build(t)
                for t in [dict(type='LoadImageFromFile')]
                + cfg.test_dataloader.dataset.pipeline
            ]
        )
        return [pipeline(dict(img_path=image)) for image in images]


@torch.no_grad()
def student_scores(model, name, packed, batch_size=1):
    """The scores (B, C) of a student inside the cohort."""
    scores = []
    for start in range(0, len(packed), batch_size):
        data = model.data_preprocessor(
            default_collate(packed[start : start + batch_size]), False
        )
        samples = model.cohort.students[name](**data, mode='predict')
        scores += [sample.pred_score for sample in samples]
    return torch.stack(scores)


def top1(weights, name, cfg):
    """The accuracy of a student with the weights of a checkpoint."""
    model = cohort_of(str(weights), cfg)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        dataset = DATASETS.build(loader('val', indices=40)['dataset'])
    packed = [dataset[i] for i in range(len(dataset))]
    labels = torch.cat([sample['data_samples'].gt_label for sample in packed])
    predicted = student_scores(model, name, packed, 40).argmax(1)
    return 100 * float((predicted == labels).float().mean())
