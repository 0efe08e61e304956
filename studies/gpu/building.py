# Copyright (c) mmdckd contributors. All rights reserved.
"""Build runs, plain loops and timm's task with the same networks and batches."""

import itertools
from typing import Callable, List

import torch
from hand import MEAN, SGD, STD, HandLoop
from measure import Context
from runs import COHORT, PLAIN, Run, Setting, cifar, imagenet

from mmdckd.engine.optimizers.cpu_amp import amp_type

#: Name of a precision to the argument of AmpOptimWrapper; None is float32.
DTYPES = dict(bf16=torch.bfloat16, fp16=torch.float16, fp32=None)


def setting_224(context: Context, batch: int) -> Setting:
    """ResNet-34 and ResNet-18 at 224x224; on a CPU at 64x64."""
    setting = imagenet(batch)
    setting.pipeline[0] = dict(
        type='RandomResizedCrop', scale=224 if context.cuda else 64
    )
    return setting


def setting_32(context: Context, batch: int) -> Setting:
    """ResNet-56 and ResNet-20 at 32x32."""
    return cifar(batch)


def build_run(
    context: Context,
    setting: Setting,
    model: dict,
    precision: str = 'fp32',
    base: str = COHORT,
    **kwargs,
) -> Run:
    """Build a run of the real runner that stops before its first iteration.

    Args:
        context (Context): Where it runs.
        setting (Setting): Its images.
        model (dict): Its model.
        precision (str): 'bf16', 'fp16' or 'fp32'. Defaults to 'fp32'.
        base (str): The config of its hooks. Defaults to that of cohorts.
        **kwargs: Other settings of the config.
    """
    wrapper = kwargs.pop('optim_wrapper', {})
    if DTYPES[precision] is not None:
        dtype = str(DTYPES[precision]).split('.')[-1]
        wrapper = dict(wrapper, type=amp_type(), dtype=dtype)
        if base == COHORT and dtype == 'bfloat16':
            wrapper.update(loss_scale=dict(enabled=False))  # as --amp does
    loader = dict(pin_memory=context.cuda, collate_fn=dict(type='default_collate'))
    loader.update(kwargs.pop('train_dataloader', {}))
    run = Run(
        setting,
        model,
        base,
        str(context.folder),
        optim_wrapper=wrapper,
        train_dataloader=loader,
        **kwargs,
    )
    teachers = [each.model for each in getattr(run.model, 'teachers', ())]
    for teacher in teachers or [getattr(run.model, 'teacher', None)]:
        if teacher is not None:
            _measure_statistics(teacher, run)
    return run


@torch.no_grad()
def _measure_statistics(teacher: torch.nn.Module, run: Run) -> None:
    """Give a random teacher the statistics of a batch. With those of a new
    BatchNorm layer, its outputs grow from block to block, and overflow float16."""
    norms = [m for m in teacher.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    teacher.backbone(run.model.data_preprocessor(run.load(), True)['inputs'])
    for norm, momentum in zip(norms, momenta):
        norm.eval()
        norm.momentum = momentum


def build_single(
    context: Context,
    setting: Setting,
    precision: str,
    layout: torch.memory_format = torch.channels_last,
) -> Run:
    """Build a run of MMRazor's SingleTeacherDistill with one student."""
    run = build_run(context, setting, setting.single(), precision, PLAIN)
    run.model.to(memory_format=layout)
    return run


def build_hand(
    context: Context, run: Run, precision: str, kind=HandLoop, **kwargs
) -> HandLoop:
    """Build the same step as a cohort's run in plain PyTorch, on copied networks."""
    return kind(
        list(run.model.cohort.students.values()),
        run.model.teachers[0].model,
        context.device,
        DTYPES[precision],
        **kwargs,
    )


def stepping(run: Run, batches: List[dict]) -> Callable[[], None]:
    """Return an iteration of a run, with the batches in turn."""
    turn = itertools.cycle(batches)
    # A cohort's loop counts the batches of its loader.
    drawn = run.loop.batches._drawn if hasattr(run.loop, 'batches') else None

    def step() -> None:
        batch = next(turn)
        if drawn is not None:
            drawn.append(range(len(batch['data_samples'])))
        run.iterate(batch)

    return step


def build_timm(
    context: Context, setting: Setting, precision: str, batch: dict
) -> Callable[[], None]:
    """Return a step of timm's task that distills logits, ResNet-34 to ResNet-18.

    Raises:
        ImportError: If there is no timm, or it has no such task yet.
    """
    import timm
    from timm.task import LogitDistillationTask

    layout = torch.channels_last
    student, teacher = (
        timm.create_model(name, pretrained=False, num_classes=setting.classes).to(
            context.device, memory_format=layout
        )
        for name in ('resnet18', 'resnet34')
    )
    task = LogitDistillationTask(
        student_model=student.train(),
        teacher_model=teacher,
        criterion=torch.nn.CrossEntropyLoss(),
        distill_loss_weight=1.0,
        task_loss_weight=1.0,
        temperature=4.0,
        device=torch.device(context.device),
        verbose=False,
    )
    optimizer = torch.optim.SGD(student.parameters(), fused=context.cuda, **SGD)
    dtype = DTYPES[precision]
    scaler = torch.amp.GradScaler(context.device, enabled=dtype is torch.float16)

    def step() -> None:
        images = batch['inputs'].to(context.device, non_blocking=True)
        images = (images.float() - MEAN) / STD
        images = images.contiguous(memory_format=layout)
        labels = torch.cat([s.gt_label for s in batch['data_samples']])
        labels = labels.to(context.device, non_blocking=True)
        with torch.autocast(
            context.device, dtype=dtype or torch.bfloat16, enabled=dtype is not None
        ):
            loss = task(images, labels)['loss']
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()

    return step
