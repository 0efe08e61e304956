# Copyright (c) mmdckd contributors. All rights reserved.
"""Measure the parts of a run other than its training steps.

- `data`: one image in the pipelines of CIFAR (from memory) and ImageNet (a
  JPEG file of 500x375), with and without the seeding before each image that
  makes a run resume exactly; and the share of an iteration's time that loading
  in the same process takes;
- `optimizer`: a step of SGD for four students, with torch's default on the
  device, with foreach and fused; and whether the result is bitwise the same;
- `validation`: CollectiveValLoop with N students, compared with MMEngine's
  ValLoop with one, each with its default hooks.

Compared functions alternate in one process; see rounds.py.
"""

import argparse
import copy
import logging
import os.path as osp
import tempfile
from functools import partial
from typing import Dict, List

# It has to be imported before OpenMMLab's packages, to make them importable.
import mmdckd  # isort: skip  # noqa: F401
import numpy as np
import torch
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS
from PIL import Image
from rounds import alternate, append_json, milliseconds, ratio
from runs import COHORT, PLAIN, SETTINGS, Run, Setting, cifar

from mmdckd.engine.loops.seeded_batches import SeededIndices

CIFAR = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]
IMAGENET = [
    dict(type='mmdckd.LoadImage'),
    dict(type='RandomResizedCrop', scale=224),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInputs'),
]


def pipelines(folder: str) -> Dict[str, tuple]:
    """Return the pipelines and their initial results, by name."""
    noise = np.random.RandomState(0)
    small = noise.randint(256, size=(32, 32, 3), dtype=np.uint8)
    # Smooth like a photograph, so that the file has a realistic size.
    large = noise.randint(256, size=(47, 63, 3), dtype=np.uint8)
    path = osp.join(folder, 'image.jpg')
    Image.fromarray(large).resize((500, 375), Image.BICUBIC).save(path)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = [
            Compose([TRANSFORMS.build(t) for t in pipeline])
            for pipeline in (CIFAR, IMAGENET)
        ]
    return dict(
        cifar=(built[0], dict(img=small, gt_label=1)),
        imagenet=(built[1], dict(img_path=path, gt_label=1)),
    )


def measure_data(args: argparse.Namespace, folder: str) -> List[dict]:
    results = []
    for name, (pipeline, start) in pipelines(folder).items():
        number = 500 if name == 'cifar' else 20

        def load(indices, pipeline=pipeline, start=start) -> None:
            for _ in indices:
                pipeline(dict(start))

        indices = range(number)
        ways = dict(
            plain=partial(load, indices),
            exact=partial(load, SeededIndices(indices, 0, 0, 0, 1)),
        )
        seconds = alternate(ways, args.rounds, 2)
        setting = SETTINGS[name]()
        run = Run(setting, setting.collective(4), COHORT, folder)
        step = alternate(dict(step=run.iterations(7)), 5, 2, args.device)
        image = milliseconds(seconds['exact']) / number
        whole = milliseconds(step['step']) / setting.batch_size
        results.append(
            dict(
                what='data',
                setting=name,
                device=args.device,
                image_ms=round(image, 4),
                exact_to_plain=ratio(seconds['exact'], seconds['plain']),
                share_in_one_process=round(image / (image + whole), 4),
            )
        )
    return results


def measure_optimizer(args: argparse.Namespace, folder: str) -> List[dict]:
    results = []
    for name, make in SETTINGS.items():
        setting = make()
        run = Run(setting, setting.collective(4), COHORT, folder)
        cohort = run.model.cohort
        ways, networks = {}, {}
        for kind in ('default', 'foreach', 'fused'):
            network = networks[kind] = copy.deepcopy(cohort)
            generator = torch.Generator().manual_seed(0)
            for parameter in network.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator).to(
                    args.device
                )
            ways[kind] = torch.optim.SGD(
                network.parameters(),
                lr=0.1,
                momentum=0.9,
                weight_decay=5e-4,
                **({} if kind == 'default' else {kind: True}),
            ).step
        seconds = alternate(ways, args.rounds, 2, args.device)
        result = dict(
            what='optimizer',
            setting=name,
            device=args.device,
            default_ms=milliseconds(seconds['default']),
        )
        for kind in ('foreach', 'fused'):
            pairs = zip(networks[kind].parameters(), networks['default'].parameters())
            result[f'{kind}_speed_up'] = ratio(seconds['default'], seconds[kind])
            result[f'{kind}_equal'] = all(torch.equal(*pair) for pair in pairs)
        results.append(result)
    return results


def validated(setting: Setting, model: dict, base: str, loop: dict, folder: str) -> Run:
    pipeline = [dict(type='Resize', scale=32), dict(type='PackInputs')]
    loader = dict(
        batch_size=64,
        num_workers=0,
        dataset=dict(
            type='mmdckd.Digits', split='train', pipeline=pipeline, indices=640
        ),
        sampler=dict(type='DefaultSampler', shuffle=False),
    )
    run = Run(
        setting,
        model,
        base,
        folder,
        val_dataloader=loader,
        val_cfg=loop,
        val_evaluator=dict(type='Accuracy', topk=(1,)),
    )
    # Pictures are drawn every few validations, but not in these.
    run.loop._iter = 1
    return run


def measure_validation(args: argparse.Namespace, folder: str) -> List[dict]:
    setting = cifar()
    collective = dict(type='mmdckd.CollectiveValLoop')
    numbers = (2, 4, 8)
    runs = {
        n: validated(setting, setting.collective(n), COHORT, collective, folder)
        for n in numbers
    }
    runs[1] = validated(setting, setting.student, PLAIN, dict(), folder)
    ways = {str(n): run.runner.val_loop.run for n, run in runs.items()}
    # The teacher runs only in the first validation.
    seconds = alternate(ways, args.rounds, 1, args.device)
    return [
        dict(
            what='validation',
            N=n,
            device=args.device,
            one_student_ms=milliseconds(seconds['1']),
            students_ms=milliseconds(seconds[str(n)]),
            ratio=ratio(seconds[str(n)], seconds['1']),
        )
        for n in numbers
    ]


PARTS = dict(
    data=measure_data, optimizer=measure_optimizer, validation=measure_validation
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--parts', nargs='+', choices=list(PARTS), default=list(PARTS))
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--out', help='a file of JSON lines')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    for part in args.parts:
        with tempfile.TemporaryDirectory() as folder:
            results = PARTS[part](args, folder)
        for result in results:
            print(result, flush=True)
            if args.out:
                append_json(args.out, result)


if __name__ == '__main__':
    main()
