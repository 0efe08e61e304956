# Copyright (c) mmdckd contributors. All rights reserved.
"""A small network, cohorts and runs of it, and the tolerances."""

import json
from pathlib import Path

import torch

from helpers.networks import build, digits
from helpers.runs import run_config
from mmdckd.engine.optimizers.cpu_amp import amp_type
from mmdckd.registry import OPTIM_WRAPPERS


def amp(**kwargs):
    """A wrapper of an optimizer for mixed precision on this device."""
    return OPTIM_WRAPPERS.build(dict(type=amp_type(), **kwargs))


#: What results may differ by, relative to the largest entry of the reference.
#: TF32 is off; gradients come in the type of the logits.
TOLERANCES = dict(
    # DCKDLoss and collectors compute in float32, whatever the logits are.
    loss=2e-5,
    # Small differences, where logits are standardized.
    teacher_loss=5e-4,
    gradient_float32=2e-5,
    gradient_float16=1e-3,  # 2 ** -10
    gradient_bfloat16=8e-3,  # 2 ** -7
    collector=2e-5,
    # In float64, and the target is float32.
    linear_collector=2e-4,
    # Through networks with BatchNorm, in float32 against float64 on the CPU.
    # The KL of networks that start alike is a small difference.
    razor_loss=2e-3,
    razor_gradient=1e-3,
    # In float64 on both sides.
    by_hand=1e-10,
    # float32 on both sides, other kernels.
    channels_last=1e-4,
    channels_last_gradient=1e-3,
    compiled=1e-3,
    ddp=1e-6,
    sync_batch_norm=1e-4,
    # After two epochs, in one and in two processes.
    cohort_run=1e-4,
    # The losses of 4 steps, against those in float32.
    amp_float16=0.01,
    amp_bfloat16=0.03,
    # Kept as float16.
    teacher_cache=1e-3,
)

#: Two stages of two blocks: it starts few kernels, and can be exported.
BACKBONE = dict(
    type='ResNet_CIFAR',
    depth=18,
    num_stages=2,
    strides=(1, 2),
    dilations=(1, 1),
    out_indices=(1,),
    stem_channels=8,
    base_channels=8,
)
DCKD = dict(
    type='mmdckd.CollectiveDistiller',
    collective_losses=dict(loss_dckd=dict(type='mmdckd.DCKDLoss')),
)


def network(**kwargs):
    """A ResNet with 8 and 16 channels."""
    head = dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=16,
        # So that members differ from the first step on.
        init_cfg=dict(type='Normal', layer='Linear', std=0.5),
        loss=dict(type='CrossEntropyLoss'),
    )
    return dict(
        type='ImageClassifier',
        backbone=dict(BACKBONE, **kwargs),
        neck=dict(type='GlobalAveragePooling'),
        head=head,
    )


def cohort(device, dtype=torch.float32, num_students=3, seed=0, **kwargs):
    """An initialized cohort in training."""
    cfg = dict(
        architecture=network(),
        num_students=num_students,
        teacher=network(),
        allow_random_teacher=True,
        distiller=DCKD,
    )
    cfg.update(kwargs)
    torch.manual_seed(seed)
    model = build(**cfg)
    model.init_weights()
    return model.to(device, dtype).train()


def preprocess(model, count=16, start=0):
    return model.data_preprocessor(digits(count, start), True)


def total(losses):
    return sum(v.mean() for name, v in losses.items() if 'loss' in name)


def gradients(model, batch=None):
    """The losses of a step, and the gradient of every parameter by name."""
    losses = model(**(batch or preprocess(model)), mode='loss')
    model.zero_grad()
    total(losses).backward()
    return losses, {
        name: p.grad.clone()
        for name, p in model.named_parameters()
        if p.grad is not None
    }


def run(work_dir, **kwargs):
    """The config of a run of two epochs of four iterations."""
    cfg = run_config(work_dir, dict(architecture=network(), num_students=2), **kwargs)
    cfg.model.teacher = network()
    return cfg


def losses(runner):
    """The names of all losses, and their values (steps, losses)."""
    (path,) = Path(runner.work_dir).glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [line for line in lines if 'lr' in line]
    names = sorted(name for name in lines[0] if 'loss' in name)
    return names, torch.tensor([[line[name] for name in names] for line in lines])


def quick(work_dir, **kwargs):
    """A run that logs every step and validates nothing."""
    return run(
        work_dir,
        # Fast enough for the losses to move in four steps.
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.1, momentum=0.9)),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
        default_hooks=dict(logger=dict(type='LoggerHook', interval=1)),
        **kwargs,
    )


def flat(tensors):
    """All entries of tensors, as one."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])
