# Copyright (c) mmdckd contributors. All rights reserved.
# configs/dckd_r34_r18_imagenet.py in MMEngine's new style; a test keeps the two
# equal. Inherit from it:
#     with read_base():
#         from mmdckd.configs.dckd_r34_r18_imagenet_lazy import *
from mmengine.dataset import DefaultSampler
from mmengine.hooks import (
    DistSamplerSeedHook,
    IterTimerHook,
    LoggerHook,
    ParamSchedulerHook,
)
from mmengine.optim import MultiStepLR
from mmengine.visualization import LocalVisBackend
from mmpretrain.datasets import (
    CenterCrop,
    ImageNet,
    LoadImageFromFile,
    PackInputs,
    RandomFlip,
    RandomResizedCrop,
    ResizeEdge,
)
from mmpretrain.engine import VisualizationHook
from mmpretrain.evaluation import Accuracy
from torch.optim import SGD

from mmdckd.datasets import LoadImage
from mmdckd.engine.hooks import (
    CheckLabelsHook,
    CheckRunHook,
    CohortCheckpointHook,
    CohortStatisticsHook,
    CohortSummaryHook,
    DataTimeHook,
    ExactResumeHook,
    LimitHistoryHook,
    LossScaleHook,
    PreemptionHook,
    SaveOnNonFiniteHook,
    SkippedImagesHook,
    UnlabeledShareHook,
)
from mmdckd.engine.loops import CollectiveTestLoop, CollectiveValLoop
from mmdckd.engine.runner import CohortLogProcessor
from mmdckd.engine.visualizers import CohortVisualizer
from mmdckd.models import CollectiveDistill, CollectiveDistiller, DCKDLoss

model = dict(
    type=CollectiveDistill,
    teacher=dict(cfg_path='mmpretrain::resnet/resnet34_8xb32_in1k.py', pretrained=True),
    architecture=dict(
        cfg_path='mmpretrain::resnet/resnet18_8xb32_in1k.py', pretrained=False
    ),
    num_students=4,
    distiller=dict(
        type=CollectiveDistiller, collective_losses=dict(loss_dckd=dict(type=DCKDLoss))
    ),
)

# As MMPretrain's _base_/datasets/imagenet_bs32.py, but a truncated image of
# the training split is an error; on_broken='skip' skips and counts it.
dataset_type = ImageNet
data_preprocessor = dict(
    num_classes=1000,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    to_rgb=True,
)

train_pipeline = [
    dict(type=LoadImage),
    dict(type=RandomResizedCrop, scale=224),
    dict(type=RandomFlip, prob=0.5, direction='horizontal'),
    dict(type=PackInputs),
]
test_pipeline = [
    dict(type=LoadImageFromFile),
    dict(type=ResizeEdge, scale=256, edge='short'),
    dict(type=CenterCrop, crop_size=224),
    dict(type=PackInputs),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=5,
    dataset=dict(
        type=dataset_type,
        data_root='data/imagenet',
        split='train',
        pipeline=train_pipeline,
    ),
    sampler=dict(type=DefaultSampler, shuffle=True),
)
val_dataloader = dict(
    batch_size=32,
    num_workers=5,
    dataset=dict(
        type=dataset_type,
        data_root='data/imagenet',
        split='val',
        pipeline=test_pipeline,
    ),
    sampler=dict(type=DefaultSampler, shuffle=False),
)
val_evaluator = dict(type=Accuracy, topk=(1, 5))

test_dataloader = val_dataloader
test_evaluator = val_evaluator

# As MMPretrain's _base_/schedules/imagenet_bs256.py, with mmdckd's loops.
optim_wrapper = dict(
    optimizer=dict(type=SGD, lr=0.1, momentum=0.9, weight_decay=0.0001)
)
param_scheduler = dict(
    type=MultiStepLR, by_epoch=True, milestones=[30, 60, 90], gamma=0.1
)

train_cfg = dict(by_epoch=True, max_epochs=100, val_interval=1)
val_cfg = dict(type=CollectiveValLoop)
test_cfg = dict(type=CollectiveTestLoop)

auto_scale_lr = dict(base_batch_size=256)

# As configs/_base_/default_runtime.py. The scope is where networks that
# `cfg_path` names find their parts.
default_scope = 'mmpretrain'

default_hooks = dict(
    timer=dict(type=IterTimerHook),
    logger=dict(type=LoggerHook, interval=100),
    param_scheduler=dict(type=ParamSchedulerHook),
    checkpoint=dict(
        type=CohortCheckpointHook,
        interval=1,
        max_keep_ckpts=3,
        save_best='best/accuracy/top1',
    ),
    sampler_seed=dict(type=DistSamplerSeedHook),
    visualization=dict(type=VisualizationHook, enable=False),
    check_labels=dict(type=CheckLabelsHook),
    check_run=dict(type=CheckRunHook),
    save_on_nonfinite=dict(type=SaveOnNonFiniteHook),
    loss_scale=dict(type=LossScaleHook),
    skipped_images=dict(type=SkippedImagesHook),
    unlabeled_share=dict(type=UnlabeledShareHook),
    data_time=dict(type=DataTimeHook),
    limit_history=dict(type=LimitHistoryHook),
    exact_resume=dict(type=ExactResumeHook),
    preemption=dict(type=PreemptionHook),
    cohort_summary=dict(type=CohortSummaryHook),
    cohort_statistics=dict(type=CohortStatisticsHook),
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

log_processor = dict(type=CohortLogProcessor)
vis_backends = [dict(type=LocalVisBackend)]
visualizer = dict(type=CohortVisualizer, vis_backends=vis_backends)
log_level = 'INFO'

load_from = None
resume = False
randomness = dict(seed=0, deterministic=False)
