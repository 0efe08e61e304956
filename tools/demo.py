# Copyright (c) mmdckd contributors. All rights reserved.
"""See collective distillation at work on handwritten digits: train a teacher,
let four students learn from it and from each other, test them all, export the
best one as a plain MMPretrain model and classify with it."""

import argparse
import os
import os.path as osp
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from glob import glob
from typing import Dict, List, Optional

# Before all of OpenMMLab, which it makes work on today's torch.
import mmdckd  # isort: skip  # noqa: F401
import mmcv
import mmengine
from demo_progress import Watch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from rich.console import Console
from rich.table import Table

from mmdckd import names
from mmdckd.cli.errors import one_error_line
from mmdckd.datasets import Digits
from mmdckd.registry import MODELS
from mmdckd.report import draw_curves, read_curves
from mmdckd.sweep.display import duration

REPO = osp.dirname(osp.dirname(osp.abspath(__file__)))
TEACHER = osp.join('configs', 'teachers', 'resnet34_digits.py')
COHORT = osp.join('configs', 'dckd_r34_r18_digits.py')
#: The images of the test split to classify.
SHOWN = (0, 80, 160, 240)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog='example:\n  python tools/demo.py --fast',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--work-dir',
        help='a new folder for all that is written (default: '
        'work_dirs/demo/ and the time)',
    )
    parser.add_argument(
        '--seed',
        type=int,
        default=0,
        help='the seed of both trainings (default: %(default)s)',
    )
    parser.add_argument(
        '--fast',
        action='store_true',
        help='train for two epochs, to see the steps and not the accuracy',
    )
    args = parser.parse_args()
    args.work_dir = osp.abspath(
        args.work_dir
        or osp.join(REPO, 'work_dirs', 'demo', time.strftime('%Y%m%d_%H%M%S'))
    )
    if osp.exists(args.work_dir) and os.listdir(args.work_dir):
        parser.error(f'--work-dir {args.work_dir!r} is not empty')
    if set(' ,()[]*?') & set(osp.relpath(args.work_dir, REPO)):
        parser.error(
            f'--work-dir {args.work_dir!r} has a blank or one of '
            ',()[]*? in it, which --cfg-options cannot carry'
        )
    return args


class Demo:
    """The steps, each by the tool that a user would call.

    Args:
        folder (str): The folder to write to.
        seed (int): The seed of both trainings.
        epochs (int, optional): How long both are; None for what their configs
            say.
        watch (Watch): Told how far everything is.
    """

    def __init__(
        self, folder: str, seed: int, epochs: Optional[int], watch: Watch
    ) -> None:
        self.folder = folder
        self.seed = seed
        self.epochs = epochs
        self.watch = watch

    def path(self, *names: str) -> str:
        """The path of something in the folder."""
        return osp.join(self.folder, *names)

    def find(self, *pattern: str) -> str:
        """The path of the one thing in the folder that a pattern fits."""
        (path,) = glob(self.path(*pattern))
        return path

    def run(self) -> None:
        """Do all that there is a tool for."""
        self.train('teacher', TEACHER)
        teacher = f'model.teacher_ckpt={self.teacher_checkpoint()}'
        self.train('cohort', COHORT, teacher)
        best = self.path('cohort', 'best.pth')
        self.call(
            'test',
            'test.py',
            COHORT,
            best,
            '--work-dir',
            self.path('test'),
            '--out',
            self.path('metrics.json'),
            '--out-item',
            'metrics',
            '--cfg-options',
            teacher,
        )
        self.call('export', 'export_student.py', best, '--out', self.path('exported'))

    def teacher_checkpoint(self) -> str:
        """The path of the teacher's last epoch."""
        with open(self.path('teacher', 'last_checkpoint')) as file:
            name = osp.basename(file.read().strip())
        return osp.relpath(self.path('teacher', name), REPO)

    def train(self, step: str, config: str, *options: str) -> None:
        """Train, and report how far it is."""
        epochs = Config.fromfile(config).train_cfg.max_epochs
        if self.epochs is not None:
            epochs = self.epochs
        self.call(
            step,
            'train.py',
            config,
            '--work-dir',
            self.path(step),
            '--cfg-options',
            f'randomness.seed={self.seed}',
            f'train_cfg.max_epochs={epochs}',
            *options,
            epochs=epochs,
        )

    def call(self, step: str, tool: str, *args: str, epochs: int = 0) -> None:
        """Run a tool; what it prints goes to ``<step>.log``.

        Raises:
            SystemExit: If it fails, with the end of what it has printed.
        """
        self.watch.update(step)
        log = self.path(f'{step}.log')
        command = [sys.executable, osp.join('tools', tool), *args]
        with open(log, 'w', encoding='utf-8') as file:
            process = subprocess.Popen(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                # Networks this small are far slower on several threads.
                env=dict(os.environ, OMP_NUM_THREADS='1'),
            )
        try:
            while process.poll() is None:
                time.sleep(0.5)
                if epochs:
                    self.report(step, epochs)
        finally:
            process.terminate()
            process.wait()
        if process.returncode != 0:
            with open(log, encoding='utf-8') as file:
                end = ''.join(file.readlines()[-20:])
            raise SystemExit(
                f'{end}\nerror: `{" ".join(command)}` has ended with '
                f'{process.returncode}; above is the end of {log}'
            )

    def curves(self, step: str) -> Dict[str, Dict[int, float]]:
        """What a training has written of its validations."""
        files = glob(self.path(step, '*', 'vis_data', 'scalars.json'))
        return read_curves(files[0]) if files else {}

    def report(self, step: str, epochs: int) -> None:
        """Show how far a training is."""
        curves = self.curves(step)
        top1 = curves.get(names.BEST) or curves.get(names.MODEL)
        if top1:
            epoch = max(top1)
            self.watch.update(
                step, epoch / epochs, f': epoch {epoch}, {top1[epoch]:.1f} %'
            )

    def parameters(self) -> Dict[str, int]:
        """Count the parameters of every member."""
        cfg = Config.fromfile(COHORT)
        cfg.model.teacher_ckpt = self.teacher_checkpoint()
        with DefaultScope.overwrite_default_scope(cfg.default_scope):
            model = MODELS.build(cfg.model)
        members = dict(model.cohort.items(), teacher=model.teachers[0].model)
        return {
            name: sum(p.numel() for p in network.parameters())
            for name, network in members.items()
        }

    def classify(self) -> List[dict]:
        """Classify images of the test split with the exported student.

        Returns:
            List[dict]: What MMPretrain's inferencer returns, and with it the
            image ``img`` and its label ``gt_label``.
        """
        # Here, so that what it prints goes to the log.
        from mmpretrain import ImageClassificationInferencer

        digits = Digits(split='test')
        paths = []
        for index in SHOWN:
            paths.append(self.path('images', f'test{index}.png'))
            mmcv.imwrite(digits[index]['img'], paths[-1])
        inferencer = ImageClassificationInferencer(self.find('exported', '*.py'))
        return [
            {**digits[index], **result}
            for index, result in zip(SHOWN, inferencer(paths))
        ]


def make_table(
    metrics: Dict[str, float], parameters: Dict[str, int], best: str
) -> Table:
    """The one table: every member, its parameters, its top-1."""
    students = names.of_role(parameters, names.STUDENT)
    rows = [(name, name, parameters[name]) for name in [names.TEACHER, *students]]
    rows.append(
        (
            f'ensemble of the {len(students)} students',
            names.ENSEMBLE,
            sum(parameters[name] for name in students),
        )
    )
    rows.append((f'best in validation: {best}', names.BEST, parameters[best]))
    table = Table('member', title='Top-1 on the test split')
    table.add_column('parameters', justify='right')
    table.add_column('top-1, %', justify='right')
    for text, member, count in rows:
        top1 = metrics[names.metric_name(member, 'accuracy/top1')]
        table.add_row(text, f'{count:,}', f'{top1:.2f}')
    return table


def draw_digits(items: List[dict]) -> str:
    """Draw classified images side by side, in characters."""
    shades = ' ░▒▓█'
    lines = []
    for row in range(8):
        lines.append(
            '   '.join(
                ''.join(2 * shades[pixel // 52] for pixel in item['img'][row, :, 0])
                for item in items
            )
        )
    for text in (
        'it is a {gt_label}',
        'predicted {pred_class}',
        'score {pred_score:.3f}',
    ):
        lines.append('   '.join(text.format(**item).ljust(16) for item in items))
    return '\n'.join(lines)


@one_error_line()
def main() -> None:
    args = parse_args()
    os.makedirs(args.work_dir, exist_ok=True)
    start = os.getcwd()
    # The configs name each other from here.
    os.chdir(REPO)
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        'Collective distillation of a ResNet-34 into four ResNet-18, all '
        'narrow, on\n1,797 handwritten digits. The formulation is this '
        "project's: the equations of\nthe paper (arXiv:2304.08878) were not "
        'available.\n'
    )
    with Watch(console) as watch:
        demo = Demo(args.work_dir, args.seed, 2 if args.fast else None, watch)
        demo.run()
        watch.update('classify')
        with (
            open(demo.path('classify.log'), 'w', encoding='utf-8') as log,
            redirect_stdout(log),
            redirect_stderr(log),
        ):
            parameters = demo.parameters()
            items = demo.classify()
    draw_curves(
        demo.curves('cohort'),
        demo.path('accuracy.png'),
        'Digits: four ResNet-18 learn from a ResNet-34 and each other',
    )
    best = osp.basename(demo.find('exported', '*.py'))[:-3]
    metrics = mmengine.load(demo.path('metrics.json'))
    console.print(make_table(metrics, parameters, best))
    console.print(f'\n{draw_digits(items)}\n')
    folder = osp.relpath(args.work_dir, start)
    console.print(
        f'Written to {args.work_dir if folder.startswith("..") else folder}:\n'
        f'  exported/{best}.py, .pth  the best student, for MMPretrain alone\n'
        '  accuracy.png               accuracy by epoch\n'
        '  *.log                      what the tools have printed',
        markup=False,
    )
    console.print(f'\nDone in {duration(watch.elapsed)}.')


if __name__ == '__main__':
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit('interrupted') from None
