# Copyright (c) mmdckd contributors. All rights reserved.
"""Demonstrate collective distillation on handwritten digits with the command
`mmdckd train --data`: a plain student, one that learns from a teacher (KD), and
four that learn from the teacher and from each other."""

import argparse
import json
import os
import os.path as osp
import shlex
import time
from glob import glob
from typing import Dict

# Networks this small are much slower with several threads.
os.environ.setdefault('OMP_NUM_THREADS', '1')

import mmcv
from rich.console import Console
from rich.table import Table

import mmdckd  # noqa: F401
from mmdckd import names
from mmdckd.cli.train import main as train
from mmdckd.datasets import Digits
from mmdckd.report.recorded_run import read_run
from mmdckd.report.report import write_report
from mmdckd.sweep.display import duration

REPO = osp.dirname(osp.dirname(osp.abspath(__file__)))
TEACHER = osp.join('configs', 'teachers', 'resnet34_digits.py')
STUDENT = osp.join('configs', '_base_', 'models', 'resnet18_digits.py')
TOP1 = 'accuracy/top1'
#: The weight of the teacher in the loss; with 0, one student trains alone.
ALPHA = 'model.distiller.collective_losses.loss_dckd.alpha'


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example:\n  python tools/demo.py --epochs 2',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--work-dir',
        help='a new folder for all that is written (default: '
        'work_dirs/demo/ and the time)',
    )
    parser.add_argument(
        '--epochs',
        type=int,
        default=15,
        help='the length of all trainings (default: %(default)s)',
    )
    parser.add_argument(
        '--seed', type=int, default=0, help='the seed of all (default: %(default)s)'
    )
    args = parser.parse_args()
    args.work_dir = args.work_dir or osp.join(
        REPO, 'work_dirs', 'demo', time.strftime('%Y%m%d_%H%M%S')
    )
    if osp.exists(args.work_dir) and os.listdir(args.work_dir):
        parser.error(f'--work-dir {args.work_dir!r} is not empty')
    args.work_dir = osp.relpath(args.work_dir, REPO)
    return args


def write_digits(folder: str) -> None:
    """Write the digits of scikit-learn as PNG files, a folder for each class."""
    for part in ('train', 'val', 'test'):
        for index, item in enumerate(Digits(split=part)):
            path = osp.join(folder, part, str(item['gt_label']), f'{index}.png')
            mmcv.imwrite(item['img'], path)


def run(console: Console, title: str, *arguments: str) -> None:
    """Train as the command does with these arguments."""
    console.print(f'\n[bold]{title}[/bold]\n  mmdckd train {shlex.join(arguments)}')
    train(list(arguments))


def tested(folder: str) -> Dict[str, float]:
    """Return the test results of a run."""
    (path,) = glob(osp.join(folder, 'test', '*', '*.json'))
    with open(path) as file:
        return json.load(file)


def make_table(collective: Dict, others: Dict[str, Dict]) -> Table:
    """Make a table of top-1 accuracies on the test split."""
    table = Table('network', title='Top-1 on the 360 test images')
    table.add_column('%', justify='right')
    rows = [('teacher, ResNet-34', collective[names.metric_name(names.TEACHER, TOP1)])]
    rows += [
        (title, metrics[names.metric_name(names.BEST, TOP1)])
        for title, metrics in others.items()
    ]
    members = filter(None, (names.member_of(key, TOP1) for key in collective))
    students = names.of_role(members, names.STUDENT)
    each = [collective[names.metric_name(name, TOP1)] for name in students]
    best = collective[names.metric_name(names.BEST, TOP1)]
    rows += [
        ('collective: mean of the four', sum(each) / len(each)),
        ('collective: the best in validation', best),
        (
            'collective: ensemble of the four',
            collective[names.metric_name(names.ENSEMBLE, TOP1)],
        ),
    ]
    for title, top1 in rows:
        table.add_row(title, f'{top1:.2f}')
    return table


def main() -> None:
    args = parse_args()
    start = time.monotonic()
    os.chdir(REPO)  # configs name each other from here
    console = Console(highlight=False, soft_wrap=True)
    data, *folders = (
        osp.join(args.work_dir, name)
        for name in ('digits', 'collective', 'kd', 'plain')
    )
    write_digits(data)
    common = ['--data', data, '--student', STUDENT]
    common += ['--image-size', '8']  # as they are
    common += ['--epochs', str(args.epochs), '--seed', str(args.seed)]
    collective, kd, plain = folders
    run(
        console,
        'A teacher, then four students that learn from it and from each other',
        *[*common, '--teacher', TEACHER, '--work-dir', collective],
    )
    taught = ['--teacher', osp.join(collective, 'teacher', 'exported', 'student0.py')]
    alone = [*common, *taught, '--students', '1']
    run(console, 'One student of this teacher (KD)', *alone, '--work-dir', kd)
    without = ['--cfg-options', f'{ALPHA}=0.0', '--work-dir', plain]
    run(console, 'One student that learns from labels alone', *alone, *without)

    others = {
        'plain student, ResNet-18': tested(plain),
        'student of the teacher (KD)': tested(kd),
    }
    console.print()
    console.print(make_table(tested(collective), others))
    runs = [
        read_run(osp.join(folder, 'students'), osp.basename(folder))
        for folder in folders
    ]
    report = write_report(runs, args.work_dir)
    console.print(
        f'All three side by side: {report}\nThe best student: {collective}/exported\n'
        f'Done in {duration(time.monotonic() - start)}.',
        markup=False,
    )


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit('interrupted') from None
