# Copyright (c) mmdckd contributors. All rights reserved.
"""Train a cohort with JPEG files loaded by workers, as on ImageNet."""

import os
import time
from pathlib import Path

import numpy as np
from building import build_run, setting_224
from measure import Context
from PIL import Image

FILES = 512


def measure(context: Context) -> None:
    """Measure images a second of the loader alone and of training with it."""
    batch = 256 if context.cuda else 2
    folder = context.folder / 'images'
    _draw(folder, FILES if context.cuda else 8)
    setting = setting_224(context, batch)
    workers = min(14, len(os.sched_getaffinity(0)))
    dataset = dict(
        _delete_=True,
        type='CustomDataset',
        data_root=str(folder),
        with_label=True,
        pipeline=[dict(type='mmdckd.LoadImage'), *setting.pipeline],
    )
    run = build_run(
        context,
        setting,
        dict(setting.collective(4), channels_last=True),
        'bf16',
        train_dataloader=dict(
            num_workers=workers, persistent_workers=True, dataset=dataset
        ),
    )
    number = 3 if context.mini else 10

    def rate(step, seconds: float) -> float:
        begin, done = time.perf_counter(), 0
        while done < number and time.perf_counter() < begin + seconds:
            step()
            done += 1
        context.synchronize()
        return round(done * batch / (time.perf_counter() - begin), 1)

    def train() -> None:
        run.iterate(run.load())

    for _ in range(3):
        train()
    context.write(
        'jpeg',
        B=batch,
        workers=workers,
        image=list(Image.open(next(folder.rglob('*.jpg'))).size),
        # Train first, which uses up the prefetched batches.
        cohort_images_per_s=rate(train, context.left * 0.4),
        loader_images_per_s=rate(lambda: _count(run), context.left * 0.4),
    )


def _count(run) -> None:
    run.load()
    run.loop.batches.count_batch()


def _draw(folder: Path, number: int) -> None:
    """Write smooth noise, so that the files have the size of photographs."""
    noise = np.random.RandomState(0)
    for index in range(number):
        path = folder / f'class{index % 10}' / f'{index}.jpg'
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = noise.randint(256, size=(47, 63, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((500, 375), Image.BICUBIC).save(path)
