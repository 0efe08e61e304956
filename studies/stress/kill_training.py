# Copyright (c) mmdckd contributors. All rights reserved.
"""Kill trainings many times, and compare the files that they leave.

Tiny cohorts train on digits; each variant adds another part that has state. A
training is killed by SIGKILL, with its workers: at random moments, in the middle of
a write, before files are renamed, linked and removed, during validation and during
the export. After each kill, every checkpoint is checked, and the training is
resumed. In the end, the whole work folder is compared, bit for bit, with that of a
training that was never killed: names and contents of checkpoints, records of the
best, exports, and logs.
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
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Dict, Optional, Tuple

import mmdckd  # isort: skip  # noqa: F401
import torch
from kill_events import Events
from kill_variants import VARIANTS, config_of
from mmengine.config import config
from mmengine.fileio.backends import local_backend
from mmengine.runner import Runner, runner
from work_folder import contents, damaged, differences

from mmdckd.io import files
from mmdckd.io.files import write_text

EXAMPLE = """example:
  python studies/stress/kill_training.py --kills 15 --variants 'EMA' 'fp16'
"""
FORK = multiprocessing.get_context('fork')
#: The events at which a training is killed; all except moments are counted.
EVENTS = ('moment', 'write', 'rename', 'link', 'remove', 'validation', 'export')
#: About how many kills a training should meet before it ends.
KILLS_A_RUN = 6


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--kills',
        type=int,
        default=200,
        help='how often to kill, all variants together (default: %(default)s)',
    )
    parser.add_argument(
        '--variants',
        nargs='+',
        choices=list(VARIANTS),
        default=list(VARIANTS),
        metavar='NAME',
        help='which trainings (default: all; ' + ', '.join(VARIANTS) + ')',
    )
    parser.add_argument('--seed', type=int, default=0, help='when and how to kill')
    parser.add_argument(
        '--out',
        help='the JSON file to write the counts to; variants that are in it '
        'already, of the same seed, are not run again',
    )
    parser.add_argument(
        '--keep', help='a folder to keep those work folders in that differ'
    )
    return parser.parse_args()


def train(
    variant: str,
    work_dir: str,
    workers: int,
    fatal: Optional[Tuple[str, int]],
    counts_file: str,
) -> None:
    """Train in a separate process."""
    os.setsid()
    with open(f'{work_dir}.log', 'a', encoding='utf-8') as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    events = Events(work_dir, fatal)
    local_backend.open = files.open = events.open  # type: ignore
    sys.addaudithook(events.audit)
    training = Runner.from_cfg(config_of(variant, work_dir, workers))
    training.register_hook(events)
    training.train()
    Path(counts_file).write_text(json.dumps(events.counts), 'utf-8')


class Trial:
    """A variant, trained once without and then with kills.

    Args:
        variant (str): Its name.
        folder (str): An empty folder.
        draw (random.Random): Decides when and how to kill.
    """

    def __init__(self, variant: str, folder: str, draw: random.Random):
        self.variant = variant
        self.folder = folder
        self.draw = draw
        self.kills: Counter = Counter()
        self.starts = self.unreadable = self.leftovers = 0
        begun = time.monotonic()
        self._start('whole', None, 0)
        self.seconds = time.monotonic() - begun
        self.whole = contents(self._path('whole'))
        self.counts: Dict[str, int] = json.loads(
            Path(self._path('whole.json')).read_text('utf-8')
        )
        self.events = ['moment'] + [event for event in EVENTS if self.counts.get(event)]

    def _path(self, name: str) -> str:
        return osp.join(self.folder, name)

    def _start(
        self,
        name: str,
        fatal: Optional[Tuple[str, int]],
        workers: int,
        seconds: Optional[float] = None,
    ) -> int:
        """Start the training, and wait for its end.

        Returns:
            int: The exit code, 0 or that of SIGKILL.
        """
        work_dir = self._path(name)
        random.seed(self.draw.random())
        process = FORK.Process(
            target=train,
            args=(self.variant, work_dir, workers, fatal, self._path(f'{name}.json')),
        )
        process.start()
        process.join(seconds)
        if process.is_alive():
            try:
                os.killpg(process.pid or 0, signal.SIGKILL)
            except ProcessLookupError:  # it leads no group yet
                process.kill()
            process.join()
        if process.exitcode not in (0, -signal.SIGKILL):
            raise SystemExit(Path(f'{work_dir}.log').read_text()[-4000:])
        return process.exitcode or 0

    def run(self, name: str, kills: int) -> list:
        """Train to the end, with a limited number of kills.

        Returns:
            list[str]: Where the work folder differs in the end.
        """
        work_dir = self._path(name)
        done = 0
        while True:
            fatal, seconds, how = None, None, ''
            if kills > 0:
                how = self.draw.choice(self.events)
                left = max(1 - done / KILLS_A_RUN, 1 / KILLS_A_RUN)
                if how == 'moment':
                    seconds = self.draw.uniform(0.1, self.seconds * left)
                else:
                    most = max(1, round(self.counts[how] * left))
                    # The last ones are as likely as all the others.
                    count = self.draw.choice(
                        (self.draw.randint(1, most), max(1, most - done))
                    )
                    fatal = how, count
            self.starts += 1
            code = self._start(name, fatal, self.draw.choice((0, 0, 0, 2)), seconds)
            if code == 0:
                break
            kills, done = kills - 1, done + 1
            self.kills[how] += 1
            self.leftovers += any(Path(work_dir).rglob('*.tmp'))
            for path in damaged(work_dir):
                self.unreadable += 1
                print(f'{self.variant}: after {how}: {path}')
        return differences(self.whole, contents(work_dir))

    def result(self) -> dict:
        """Return the results so far."""
        return dict(
            kills=sum(self.kills.values()),
            kills_by_moment=dict(self.kills),
            starts=self.starts,
            half_written_files_left=self.leftovers,
            unreadable_checkpoints=self.unreadable,
        )


def try_variant(variant: str, kills: int, args: argparse.Namespace) -> dict:
    """Kill a variant's training a number of times, and compare."""
    draw = random.Random(f'{args.seed} {variant}')
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(variant, folder, draw)
        runs, unequal = 0, []
        while (left := kills - sum(trial.kills.values())) > 0:
            name = f'killed{runs}'
            found = trial.run(name, min(left, KILLS_A_RUN))
            runs += 1
            if found:
                unequal.append(found[:20])
                print(f'{variant}: {len(found)} differences:', *found[:20], sep='\n  ')
                if args.keep:
                    for each in (name, 'whole'):
                        osp.exists(trial._path(each)) and os.rename(
                            trial._path(each),
                            tempfile.mkdtemp(dir=args.keep, prefix=each),
                        )
        return dict(
            trial.result(),
            runs=runs,
            runs_equal=runs - len(unequal),
            differences=unequal,
        )


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    logging.getLogger('mmengine').setLevel(logging.ERROR)
    # A process is killed soon, so slow work is done once, before it.
    for name in (
        'mmpretrain.models',
        'mmpretrain.datasets',
        'mmpretrain.engine',
        'mmrazor.models',
        'mmdckd.models',
        'mmdckd.engine',
        'matplotlib.pyplot',
        'sklearn.datasets',
    ):
        import_module(name)
    environment = runner.collect_env()
    runner.collect_env = lambda: environment
    # Formatting the config's text for checkpoints would take most of the time.
    config.FormatCode = lambda text, **kwargs: (text, True)
    results: Dict[str, dict] = {}
    if args.out and osp.exists(args.out):
        before = json.loads(Path(args.out).read_text('utf-8'))
        if before.get('seed') == args.seed:
            results = before['variants']
    share = -(-args.kills // len(args.variants))
    for variant in args.variants:
        if variant in results:
            continue
        begun = time.monotonic()
        results[variant] = try_variant(variant, share, args)
        print(
            f'{variant}: {json.dumps(results[variant])}, '
            f'{time.monotonic() - begun:.0f} s',
            flush=True,
        )
        if args.out:
            write_text(
                args.out, json.dumps(summary(args.seed, results), indent=2) + '\n'
            )
    total = summary(args.seed, results)
    print(json.dumps({k: v for k, v in total.items() if k != 'variants'}))
    if total['unreadable_checkpoints'] or total['runs'] != total['runs_equal']:
        raise SystemExit(1)


def summary(seed: int, results: Dict[str, dict]) -> dict:
    """All variants together."""
    moments: Counter = Counter()
    for result in results.values():
        moments.update(result['kills_by_moment'])
    sums = {
        key: sum(result[key] for result in results.values())
        for key in (
            'kills',
            'starts',
            'half_written_files_left',
            'unreadable_checkpoints',
            'runs',
            'runs_equal',
        )
    }
    return dict(
        seed=seed,
        **sums,
        kills_by_moment=dict(moments),
        torch=torch.__version__,
        variants=results,
    )


if __name__ == '__main__':
    main()
