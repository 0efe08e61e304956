# Copyright (c) mmdckd contributors. All rights reserved.
"""From data and two networks to a student, in one call."""

import copy
import os
import os.path as osp
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple, Union

from mmengine.config import Config
from torch import nn

from mmdckd.console.calm_console import current_console, on_console
from mmdckd.engine.dataloaders import set_dataloader_defaults
from mmdckd.engine.runner.building import build_runner
from mmdckd.export import ExportedStudent, export_student
from mmdckd.inference import Predictor, load_network
from mmdckd.names import BEST, TEACHER, metric_name
from mmdckd.report.recorded_run import read_run
from mmdckd.report.report import write_report

from .changes import Changes
from .configs import student_config, write_config
from .networks import NamedNetwork, find_network
from .recipe import Recipe, choose_recipe
from .source import Data, Source, read_source

METRIC = 'accuracy/top1'
#: What students learn from where nobody names a teacher.
NONE = 'none'


@dataclass
class Result:
    """What a distillation has made.

    Attributes:
        name (str): The name of the best student.
        exported (ExportedStudent): The files of the best student.
        metrics (Dict[str, float]): The metrics of all members, in percent, on
            the test images, or where there are none on those of validation.
        measured_on (str): ``'test'`` or ``'val'``.
        parameters (Dict[str, int]): How many parameters the student and the
            teacher have.
        report (str): The path of the report.
        work_dir (str): The folder of all that was written.
    """

    name: str
    exported: ExportedStudent
    metrics: Dict[str, float]
    measured_on: str
    parameters: Dict[str, int]
    report: str
    work_dir: str

    @property
    def student(self) -> nn.Module:
        """nn.Module: The best student, in evaluation mode, on the CPU."""
        return load_network(
            Config.fromfile(self.exported.config), self.exported.checkpoint
        ).model

    def predict(self, images: Union[str, Sequence[str]]) -> List[Dict[str, float]]:
        """Classify image files with the best student.

        Args:
            images (str | Sequence[str]): The paths of the files.

        Returns:
            List[Dict[str, float]]: For each image, the probability of every
            class by its name, the likeliest first.
        """
        predictor = Predictor(self.exported.checkpoint)
        found = []
        for path in [images] if isinstance(images, str) else images:
            scores = predictor([predictor.read(path)])[0]
            order = scores.argsort(descending=True).tolist()
            found.append({predictor.name_of(i): float(scores[i]) for i in order})
        return found

    def summary(self) -> List[str]:
        """Tell in five lines what came out.

        Returns:
            List[str]: Which student, how good, how large, and where it is.
        """
        own = self.metrics[metric_name(BEST, METRIC)]
        size = self.parameters[self.name]
        lines = [
            f'Use {self.name}, the student that is best in validation.',
            f'It classifies {own:.2f} % of the {self.measured_on} images correctly.',
            f'It has {size:,} parameters.',
        ]
        teacher = self.metrics.get(metric_name(TEACHER, METRIC))
        if teacher is not None:
            ratio = self.parameters[TEACHER] / size
            lines[1] = lines[1][:-1] + f'; the teacher {teacher:.2f} %.'
            lines[2] = lines[2][:-1] + f', the teacher {ratio:.1f} times as many.'
        return [
            *lines,
            f'It is in {self.exported.checkpoint} and {self.exported.config}.',
            f'The report is {self.report}.',
        ]


@on_console
def distill(
    data: Data,
    student: str,
    teacher: str = NONE,
    num_students: int = 4,
    work_dir: str = 'work_dirs/distill',
    image_size: Optional[int] = None,
    batch_size: Optional[int] = None,
    epochs: Optional[int] = None,
    lr: Optional[float] = None,
    pretrained: bool = False,
    seed: int = 0,
    say: Callable[[str], None] = print,
    val_data: Optional[Data] = None,
    optimizer: Optional[str] = None,
    augmentation: Optional[str] = None,
    amp: Optional[bool] = None,
    num_workers: Optional[int] = None,
    fast: bool = False,
    cfg_options: Optional[Dict[str, Any]] = None,
    verbose: bool = False,
) -> Result:
    """Train students on a folder of images, and export the best one.

    A teacher without weights for the classes of the data is trained first.
    What was finished in ``work_dir`` before is not done again, and what was
    begun is resumed.

    Args:
        data (str | dict | Dataset): A folder of images; see
            :func:`~mmdckd.easy.folder.read_folder`.
        student (str): The network of every student; see
            :data:`~mmdckd.easy.networks.FORMS`.
        teacher (str): The network of the teacher; ``'none'`` if the students
            have only each other. Defaults to ``'none'``.
        num_students (int): How many students learn together. Defaults to 4.
        work_dir (str): The folder for all that is written. Defaults to
            ``'work_dirs/distill'``.
        image_size (int, optional): The side of the images that networks see.
            Defaults to None: it follows from the data, as do the next three.
        batch_size (int, optional): Images in a batch. Defaults to None.
        epochs (int, optional): Passes over the images. Defaults to None.
        lr (float, optional): The largest learning rate. Defaults to None.
        pretrained (bool): Whether teacher and students start from the weights
            that the libraries of their networks list. Defaults to False.
        seed (int): The seed of all trainings. Defaults to 0.
        say (Callable): Told each setting that was chosen, and why. Defaults
            to ``print``.
        val_data (str | dict | Dataset, optional): What to validate with.
            Defaults to None: see ``data``.
        optimizer (str, optional): ``'sgd'`` or ``'adamw'``. Defaults to None:
            it is chosen, as are the next three.
        augmentation (str, optional): How training images change at random:
            ``'none'``, ``'shift'``, ``'flip'`` (shifted and mirrored) or
            ``'crop'`` (scaled, cropped and mirrored). Defaults to None.
        amp (bool, optional): Whether to train in mixed precision. Defaults to
            None.
        num_workers (int, optional): Processes that load images. Defaults to
            None.
        fast (bool): Whether results may differ by rounding for speed. Defaults
            to False.
        cfg_options (Dict[str, Any], optional): Settings of the config that is
            written, by keys with dots, such as
            ``{'optim_wrapper.optimizer.weight_decay': 0.001}``. All but those
            of ``model`` hold for a teacher that is trained, too. Defaults to
            None.
        verbose (bool): Whether to print what other packages say, too, which is
            in the log files anyway. Defaults to False.

    Returns:
        Result: The best student, and what was measured.

    Raises:
        FileNotFoundError: If a folder or file does not exist.
        ValueError: If an argument or the data are invalid. Nothing was
            trained then.

    Examples:
        >>> result = mmdckd.distill(
        ...     data='photos', teacher='resnet34_8xb32_in1k',
        ...     student='resnet18_8xb32_in1k', work_dir='work_dirs/photos')
        >>> result.predict('photo.jpg')[0]
    """
    if num_students < 1:
        raise ValueError(
            'Invalid `num_students`: expected a whole number, 1 or more, got '
            f'{num_students!r}.'
        )
    if num_students == 1 and teacher == NONE:
        raise ValueError(
            "Invalid `num_students`: expected 2 or more with `teacher='none'`, got "
            '1, which has nobody to learn from.'
        )
    changes = Changes(cfg_options or {}, fast)
    source = read_source(data, val_data)
    students = find_network(student, source.num_classes, pretrained, 'student')
    taught_by = None
    if teacher != NONE:
        taught_by = find_network(teacher, source.num_classes, pretrained, 'teacher')
    recipe = choose_recipe(
        source,
        students.has_weights,
        image_size=image_size,
        augmentation=augmentation,
        batch_size=batch_size,
        epochs=epochs,
        optimizer=optimizer,
        lr=lr,
        amp=amp,
        num_workers=num_workers,
    )
    say(f'{len(source):,} images of {source.num_classes} classes in {source.name}')
    for warning in source.warnings:
        say(f'warning: {warning}')
    for reason in recipe.reasons:
        say(reason)
    os.makedirs(work_dir, exist_ok=True)
    teacher_cfg = None
    if taught_by is not None:
        teacher_cfg = taught_by.config
        if not taught_by.has_head:
            teacher_cfg = _train_teacher(
                source, recipe, taught_by, work_dir, seed, changes.without_model(), say
            )
    settings = student_config(source, recipe, students, num_students, teacher_cfg, seed)
    run = osp.join(work_dir, 'students')
    say(f'{num_students} x {students.name}: training in {run}')
    cfg = _train(settings, run, changes)
    best = osp.join(run, 'best.pth')
    metrics, parameters = _measure(cfg, best)
    exported = export_student(best, osp.join(work_dir, 'exported'), cfg=cfg)
    report = write_report([read_run(run)], work_dir)
    return Result(
        name=exported.name,
        exported=exported,
        metrics=metrics,
        measured_on='val' if source.test is None else 'test',
        parameters=parameters,
        report=report,
        work_dir=work_dir,
    )


def _train_teacher(
    source: Source,
    recipe: Recipe,
    teacher: NamedNetwork,
    work_dir: str,
    seed: int,
    changes: Changes,
    say: Callable[[str], None],
) -> dict:
    """Train a network alone, and return the config of it as a teacher."""
    run = osp.join(work_dir, TEACHER)
    say(f'the teacher, {teacher.name}, has no weights for the data: training in {run}')
    settings = student_config(source, recipe, teacher, 1, None, seed)
    cfg = _train(settings, run, changes)
    exported = export_student(
        osp.join(run, 'best.pth'), osp.join(run, 'exported'), cfg=cfg
    )
    return dict(cfg_path=exported.config, pretrained=exported.checkpoint)


def _train(settings: dict, work_dir: str, changes: Changes) -> Config:
    """Train by a config that is written beside the folder of the run.

    In it, MMEngine writes the same with all that it inherits.
    """
    path = f'{work_dir}.py'
    _check_same_run(settings, path, work_dir)
    cfg = write_config(settings, path, changes)
    cfg.work_dir = work_dir
    cfg.resume = True
    _complete(cfg)
    build_runner(cfg, current_console()).train()
    return cfg


def _check_same_run(settings: dict, path: str, work_dir: str) -> None:
    """Raise where another run was begun in the folder."""
    if not osp.isfile(path) or not osp.isfile(osp.join(work_dir, 'last_checkpoint')):
        return
    before = Config.fromfile(path)
    now = Config(settings)
    for key, old, new in (
        ('model.architecture', before.model.architecture, now.model.architecture),
        ('model.num_students', before.model.num_students, now.model.num_students),
        ('data', *(c.train_dataloader.dataset.data_root for c in (before, now))),
    ):
        if old != new:
            raise ValueError(
                f'Invalid `work_dir`: expected a new folder, or that of the run to go '
                f'on with, got {osp.dirname(work_dir)!r}, which has another run '
                f'(of another `{key}`).'
            )


def _measure(cfg: Config, checkpoint: str) -> Tuple[Dict[str, float], Dict[str, int]]:
    """Test all members, and count their parameters."""
    cfg = copy.deepcopy(cfg)
    cfg.work_dir = osp.join(osp.dirname(cfg.work_dir), 'test')
    cfg.resume, cfg.load_from = False, checkpoint
    _complete(cfg)
    runner = build_runner(cfg, current_console())
    metrics = runner.test()
    model = runner.model
    members = dict(model.cohort.items())
    members.update(zip(model.teacher_names, (t.model for t in model.teachers)))
    return metrics, {
        name: sum(parameter.numel() for parameter in network.parameters())
        for name, network in members.items()
    }


def _complete(cfg: Config) -> None:
    for stage in ('train', 'val', 'test'):
        set_dataloader_defaults(cfg, stage)
