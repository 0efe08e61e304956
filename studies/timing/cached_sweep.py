# Copyright (c) mmdckd contributors. All rights reserved.
"""Time sweeps of five runs with and without a cache of the teacher's logits.

ResNet-56 teaches ResNet-20 of CIFAR's size with DCKDLoss. Every sweep trains
five runs from the first step to the last, and starts with an empty cache; what
building a run takes is left out. The sweeps alternate; figures are medians over
the rounds.

- `one seed`: random resized crop, flip and RandAugment; the runs differ in the
  learning rate. `repeated` repeats the views of the first epoch
  (`TeacherCacheHook(epochs=1)`).
- `five seeds`: a crop with a padding of 1, which has 9 views; the runs differ in
  the seed. `enumerated` stores all views (`EnumeratedCropFlip`).
"""

import argparse
import copy
import itertools
import logging
import os.path as osp
import statistics
import tempfile
from pathlib import Path
from typing import Dict, List, Optional, Tuple

# It has to be imported before OpenMMLab's packages, to make them importable.
import mmdckd  # isort: skip  # noqa: F401
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from rounds import alternate, append_json, now, ratio
from runs import COHORT, MEAN, STD, cifar

from mmdckd.models.networks import build_network, resolve_network

RUNS = 5
RANDOM = [
    dict(type='RandomResizedCrop', scale=32),
    dict(type='RandomFlip', prob=0.5),
    dict(
        type='RandAugment',
        policies='timm_increasing',
        num_policies=2,
        total_level=10,
        magnitude_level=9,
        magnitude_std=0.5,
    ),
    dict(type='PackInputs'),
]
CROP = [
    dict(type='Resize', scale=32),
    dict(type='RandomCrop', crop_size=32, padding=1),
    dict(type='PackInputs'),
]
ENUMERATED = [
    dict(type='Resize', scale=32),
    dict(type='mmdckd.EnumeratedCropFlip', padding=1, flip=False),
    dict(type='PackInputs', meta_keys=('sample_idx', 'view')),
]
#: Name of a sweep to its pipeline and the options of its cache, None for none.
Ways = Dict[str, Tuple[list, Optional[dict]]]
SWEEPS: Dict[str, Ways] = {
    'one seed': dict(
        without=(RANDOM, None), cache=(RANDOM, {}), repeated=(RANDOM, dict(epochs=1))
    ),
    'five seeds': dict(
        without=(CROP, None), cache=(CROP, {}), enumerated=(ENUMERATED, {})
    ),
}
_number = itertools.count()


class Sweep:
    """A sweep of five runs.

    Args:
        base (dict): The config of a run.
        pipeline (list): Its transforms.
        cache (dict, optional): The options of the cache; None for no cache.
        seeds (bool): Whether the runs differ in the seed, or else in the
            learning rate.
        folder (str): A folder for what it writes.
    """

    def __init__(
        self,
        base: dict,
        pipeline: list,
        cache: Optional[dict],
        seeds: bool,
        folder: str,
    ) -> None:
        self.base = base
        self.pipeline = pipeline
        self.cache = cache
        self.seeds = seeds
        self.folder = folder
        self.seconds: List[float] = []
        self.images = 0
        self.bytes = 0

    def __call__(self) -> None:
        """Train the five runs."""
        seen: List[int] = []
        seconds = 0.0
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            for number in range(RUNS):
                runner = Runner.from_cfg(self._config(number, folder))
                runner.model.teachers[0].model.register_forward_pre_hook(
                    lambda module, args: seen.append(len(args[0]))
                )
                start = now()
                runner.train()
                seconds += now() - start
            files = Path(folder, 'logits').glob('**/*')
            self.bytes = sum(path.stat().st_size for path in files if path.is_file())
        self.seconds.append(seconds)
        self.images = sum(seen)

    def _config(self, number: int, folder: str) -> Config:
        cfg = Config.fromstring(f'_base_ = {COHORT!r}', '.py')
        for key in ('val_cfg', 'test_cfg'):
            cfg.pop(key)
        cfg.merge_from_dict(copy.deepcopy(self.base))
        cfg.train_dataloader.dataset.pipeline = copy.deepcopy(self.pipeline)
        cfg.experiment_name = f'run{next(_number)}'
        cfg.work_dir = osp.join(folder, cfg.experiment_name)
        if self.seeds:
            cfg.randomness.seed = number
        else:
            cfg.optim_wrapper.optimizer.lr = 0.01 * (1 + number)
        if self.cache is not None:
            hook = dict(type='mmdckd.TeacherCacheHook', folder=f'{folder}/logits')
            cfg.custom_hooks = [dict(hook, **self.cache)]
        return cfg


def base_config(num_students: int, args: argparse.Namespace, folder: str) -> dict:
    """Return the config that all runs share, with one teacher."""
    setting = cifar(args.batch_size)
    torch.manual_seed(0)
    teacher = build_network(resolve_network(setting.teacher, 'teacher'))
    teacher.init_weights()
    path = f'{folder}/teacher.pth'
    torch.save(teacher.state_dict(), path)
    model = setting.collective(num_students)
    model['teacher'] = dict(setting.teacher, pretrained=path)
    dataset = dict(type='mmdckd.Digits', split='train', indices=args.images)
    return dict(
        log_level='ERROR',
        default_scope='mmpretrain',
        model=model,
        data_preprocessor=dict(num_classes=setting.classes, mean=MEAN, std=STD),
        train_dataloader=dict(
            batch_size=args.batch_size,
            num_workers=0,
            dataset=dataset,
            sampler=dict(type='DefaultSampler', shuffle=True),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=args.epochs),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        default_hooks=dict(
            checkpoint=dict(by_epoch=False, interval=10**6, save_best=None),
            # The images have 10 classes, whatever the networks' number is.
            check_labels=dict(allow_missing=True),
        ),
    )


def measure(num_students: int, args: argparse.Namespace, folder: str) -> List[dict]:
    """Time all sweeps of a cohort."""
    base = base_config(num_students, args, folder)
    results = []
    for name, ways in SWEEPS.items():
        seeds = name == 'five seeds'
        sweeps = {way: Sweep(base, *each, seeds, folder) for way, each in ways.items()}
        alternate(dict(sweeps), args.rounds, warm_up=0)
        for way, sweep in sweeps.items():
            results.append(
                dict(
                    sweep=name,
                    way=way,
                    N=num_students,
                    B=args.batch_size,
                    epochs=args.epochs,
                    images=args.images,
                    rounds=args.rounds,
                    seconds=round(statistics.median(sweep.seconds), 2),
                    speed_up=ratio(sweeps['without'].seconds, sweep.seconds),
                    teacher_images=sweep.images,
                    bytes=sweep.bytes,
                )
            )
    return results


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--num-students', type=int, nargs='+', default=[1, 4])
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--images', type=int, default=96)
    parser.add_argument('--epochs', type=int, default=4)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--out', help='a file of JSON lines')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    for num_students in args.num_students:
        with tempfile.TemporaryDirectory() as folder:
            for result in measure(num_students, args, folder):
                print(result, flush=True)
                if args.out:
                    append_json(args.out, result)


if __name__ == '__main__':
    main()
