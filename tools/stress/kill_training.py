# Copyright (c) mmdckd contributors. All rights reserved.
"""Kill a training again and again, and compare how it ends.

A cohort with everything that has a state trains on digits. It is killed by
SIGKILL, with its workers: at random moments, and amidst the writing,
renaming and removing of checkpoints. After each kill every checkpoint is
looked at, and the training resumed, with 0 or 2 workers. In the end its
weights, its optimizer and all that was logged are compared, bit for bit, with
a training that was never killed.
"""
import argparse
import json
import logging
import multiprocessing
import os
import os.path as osp
import random
import signal
import sys
import tempfile
import time
import zipfile
from collections import Counter
from glob import glob
from pathlib import Path
from typing import Dict, Optional, Tuple

import torch
from mmengine.config import Config
from mmengine.runner import Runner, runner

from mmdckd import compat

EXAMPLE = """example:
  python tools/stress/kill_training.py --kills 10
"""
REPO = osp.dirname(osp.dirname(osp.dirname(osp.abspath(__file__))))
CONFIG = osp.join(REPO, 'configs', 'dckd_r34_r18_digits.py')
FORK = multiprocessing.get_context('fork')
#: Iterations from one checkpoint, and from one validation, to the next.
SAVE, VALIDATE = 2, 7
#: What is done to files when a checkpoint is saved, in this order.
EVENTS = ('write', 'rename', 'remove')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        '--kills',
        type=int,
        default=100,
        help='how often to kill it (default: %(default)s)')
    parser.add_argument(
        '--iterations',
        type=int,
        default=400,
        help='how long the training is (default: %(default)s)')
    parser.add_argument(
        '--seed', type=int, default=0, help='when and how to kill it')
    parser.add_argument('--out', help='the JSON file to write the counts to')
    return parser.parse_args()


def training_config(work_dir: str, iterations: int, workers: int) -> Config:
    """A training whose end depends on everything that happened in it."""
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict(
        dict(
            work_dir=work_dir,
            log_level='WARNING',
            resume=True,
            model=dict(
                teacher_ckpt=None,
                allow_random_teacher=True,
                num_students=2,
                lagged_peers=dict(momentum=0.5, interval=3),
                architecture=dict(
                    train_cfg=dict(augments=dict(type='Mixup', alpha=1.)))),
            train_dataloader=dict(
                batch_size=32,
                num_workers=workers,
                persistent_workers=workers > 0,
                dataset=dict(indices=320)),
            val_dataloader=dict(dataset=dict(indices=60)),
            default_hooks=dict(
                logger=dict(interval=1, log_metric_by_epoch=False),
                checkpoint=dict(by_epoch=False, interval=SAVE)),
            custom_hooks=[dict(type='EMAHook', momentum=0.1)]))
    # The augmentation is that of the whole batch, which all students see.
    augments = cfg.model.architecture.pop('train_cfg').augments
    cfg.data_preprocessor.batch_augments = dict(augments=[augments])
    cfg.train_cfg = dict(
        by_epoch=False, max_iters=iterations, val_interval=VALIDATE)
    cfg.param_scheduler = [
        dict(type='CosineAnnealingLR', T_max=iterations, by_epoch=False)
    ]
    return cfg


def train(work_dir: str,
          iterations: int,
          workers: int,
          fatal: Optional[Tuple[str, int]] = None) -> None:
    """Train, in a process of its own.

    Args:
        work_dir (str): The work folder.
        iterations (int): How long the training is.
        workers (int): How many workers load data.
        fatal (tuple[str, int], optional): At what, and at the how-manyeth of
            it, the process kills itself.
    """
    os.setsid()
    with open(f'{work_dir}.log', 'a', encoding='utf-8') as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    if fatal is not None:
        _die_at(*fatal)
    Runner.from_cfg(training_config(work_dir, iterations, workers)).train()


def _die_at(event: str, count: int) -> None:
    """Let this process kill itself and its workers amidst a writing."""
    left = [count]

    def happens() -> bool:
        left[0] -= 1
        return left[0] == 0

    def die() -> None:
        os.killpg(0, signal.SIGKILL)

    class Dying:

        def __init__(self, path: str, mode: str, **kwargs) -> None:
            self.file = open(path, mode, **kwargs)

        def __enter__(self):
            return self

        def __exit__(self, *error) -> None:
            self.file.close()

        def __getattr__(self, name: str):
            return getattr(self.file, name)

        def write(self, content: bytes) -> None:
            if happens():
                self.file.write(content[:random.randrange(len(content))])
                self.file.flush()
                die()
            self.file.write(content)

    def open_dying(path: str, mode: str = 'r', **kwargs):
        checkpoint = '.pth' in path or 'last_checkpoint' in path
        chosen = Dying if mode == 'wb' and checkpoint else open
        return chosen(path, mode, **kwargs)

    def audit(name: str, args: tuple) -> None:
        if name == f'os.{event}' and '.pth' in str(args[0]) and happens():
            die()

    if event == 'write':
        compat.open = open_dying
    else:
        sys.addaudithook(audit)


def life(work_dir: str, iterations: int, draw: random.Random,
         budget: float) -> Tuple[int, str]:
    """One start of the training and its end.

    Args:
        work_dir (str): The work folder.
        iterations (int): How long the training is.
        draw (random.Random): Decides how it ends.
        budget (float): How many iterations it should make, more or less.

    Returns:
        tuple[int, str]: The exit code, and how it was to end.
    """
    how = draw.choice(('moment', ) + EVENTS)
    fatal = None
    if how != 'moment':
        # A checkpoint is two files written and renamed, one of them removed.
        saved = 2 * budget / SAVE
        each = 1 if how == 'remove' else 2
        fatal = how, draw.randint(1, max(1, round(saved * each)))
    random.seed(draw.random())
    process = FORK.Process(
        target=train, args=(work_dir, iterations, draw.choice((0, 2)), fatal))
    begun = time.monotonic()
    process.start()
    if how == 'moment':
        process.join(draw.uniform(0, life.start + 2 * budget * life.step))
        if process.is_alive():
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:  # it leads no group yet
                process.kill()
    process.join()
    life.seconds += time.monotonic() - begun
    return process.exitcode, how


def damaged(work_dir: str) -> list:
    """The checkpoints in a folder that are not whole, and the pointer if it
    names none that is."""
    found = []
    paths = glob(osp.join(work_dir, '*.pth'))
    pointer = osp.join(work_dir, 'last_checkpoint')
    if osp.exists(pointer):
        named = Path(pointer).read_text()
        if named not in paths:
            found.append(pointer)
    elif paths and any('iter_' in osp.basename(path) for path in paths):
        # Killed after the first checkpoint and before the pointer.
        if len([p for p in paths if 'iter_' in p]) > 1:
            found.append(pointer)
    for path in paths:
        try:
            with zipfile.ZipFile(path) as file:
                whole = file.testzip() is None
        except zipfile.BadZipFile:
            whole = False
        if not whole:
            found.append(path)
    return found


def iteration_of(work_dir: str) -> int:
    """How far the checkpoint is that the training would resume from."""
    path = runner.find_latest_checkpoint(work_dir) if osp.isdir(
        work_dir) else None
    if path is None:
        return 0
    return torch.load(path, weights_only=True)['meta']['iter']


def outcome(work_dir: str) -> dict:
    """What is left of a training, without times."""
    checkpoint = torch.load(
        runner.find_latest_checkpoint(work_dir), weights_only=True)
    parts = ('state_dict', 'ema_state_dict', 'optimizer', 'param_schedulers')
    info = checkpoint['message_hub']['runtime_info']
    best = ('best_score', 'best_student', 'last_val_iter', 'iter')
    return dict({part: checkpoint[part]
                 for part in parts},
                position=checkpoint['meta']['position'],
                best={name: info[name]
                      for name in best})


def logged(work_dir: str) -> Dict[tuple, list]:
    """The records that were logged of each step, without times and without
    a line that a kill cut off."""
    records: Dict[tuple, list] = {}
    for path in Path(work_dir).glob('*/vis_data/scalars.json'):
        for line in path.read_text().splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            for name in ('time', 'data_time', 'memory'):
                record.pop(name, None)
            key = 'lr' in record, record.get('step')
            records.setdefault(key, []).append(record)
    return records


def same(one, other) -> bool:
    """Whether two states are equal, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(
            same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    logging.getLogger('mmengine').setLevel(logging.ERROR)
    # What the environment is takes longer to find out than a life lasts.
    environment = runner.collect_env()
    runner.collect_env = lambda: environment
    draw = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, killed = osp.join(folder, 'whole'), osp.join(folder, 'killed')
        begun = time.monotonic()
        process = FORK.Process(target=train, args=(whole, args.iterations, 0))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(Path(f'{whole}.log').read_text()[-4000:])
        life.start = 1.
        life.step = (time.monotonic() - begun - life.start) / args.iterations
        life.seconds = 0.

        kills: Counter = Counter()
        unreadable, halves, lives = 0, 0, 0
        while True:
            done = iteration_of(killed)
            left = args.kills - sum(kills.values())
            if left:
                budget = max(1., (args.iterations - done) / left / 2.5)
                code, how = life(killed, args.iterations, draw, budget)
            else:
                process = FORK.Process(
                    target=train, args=(killed, args.iterations, 2))
                process.start()
                process.join()
                code = process.exitcode
            lives += 1
            if code == 0:
                break
            if code != -signal.SIGKILL:
                raise SystemExit(Path(f'{killed}.log').read_text()[-4000:])
            kills[how] += 1
            print(f'{sum(kills.values())}: {how}, at {done}', flush=True)
            halves += bool(glob(osp.join(killed, '*.tmp')))
            found = damaged(killed)
            unreadable += len(found)
            for path in found:
                print(f'after kill {sum(kills.values())}, {how}: {path}')
        one, other = logged(whole), logged(killed)
        steps = [len(records) for key, records in other.items() if key[0]]
        result = dict(
            seed=args.seed,
            iterations=args.iterations,
            kills=sum(kills.values()),
            kills_by_moment=dict(kills),
            starts=lives,
            half_written_files_left=halves,
            unreadable_checkpoints=unreadable,
            iterations_done_again=sum(steps) - args.iterations,
            same_outcome=same(outcome(whole), outcome(killed)),
            same_log=one.keys() == other.keys()
            and all(record == one[key][0] for key in one
                    for record in other[key]),
            torch=torch.__version__)
    print(json.dumps(result, indent=2))
    if args.out:
        with open(args.out, 'w', encoding='utf-8') as file:
            file.write(json.dumps(result, indent=2) + '\n')
    if unreadable or not result['same_outcome'] or not result['same_log']:
        raise SystemExit(1)


if __name__ == '__main__':
    main()
