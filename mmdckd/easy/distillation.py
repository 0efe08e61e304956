# Copyright (c) mmdckd contributors. All rights reserved.
"""``distill``: from data and two networks to a student, in one call."""

import copy
import os
import os.path as osp
from typing import Any, Callable, Dict, Optional, Tuple, Union

from mmengine.config import Config
from torch import nn

from mmdckd.console.calm_console import current_console, on_console, print_line
from mmdckd.engine.dataloaders import set_all_dataloader_defaults
from mmdckd.engine.runner.building import build_runner
from mmdckd.engine.runner.rehearsal import rehearse
from mmdckd.export import export_student
from mmdckd.export.student import check_can_be_named
from mmdckd.io.files import check_writable
from mmdckd.io.given import giving
from mmdckd.models.options import check_bool
from mmdckd.names import STUDENT, TEACHER
from mmdckd.report.recorded_run import read_run
from mmdckd.report.report import write_report

from .argument_checks import check_apart, check_numbers
from .changes import Changes
from .configs import make_config, student_config, write_config
from .exported_program import export_program
from .given_data import TENSORS
from .given_networks import given_network, keep_weights, objects_of
from .networks import NamedNetwork, find_network
from .recipe import Recipe, choose_recipe, choose_students
from .result import Result
from .same_run import check_same_run, check_same_weights
from .source import Data, Source, read_source
from .trial import check_differ, try_networks, two_images
from .unlabeled import read_unlabeled

#: The name that stands for no teacher.
NONE = 'none'
#: A network: its name, a module, or a function that makes one.
Network = Union[str, nn.Module, Callable[..., nn.Module]]


@on_console
def distill(
    data: Data,
    student: Network,
    teacher: Optional[Network] = NONE,
    num_students: Optional[int] = None,
    work_dir: str = 'work_dirs/distill',
    image_size: Optional[int] = None,
    batch_size: Optional[int] = None,
    epochs: Optional[int] = None,
    lr: Optional[float] = None,
    pretrained: bool = False,
    seed: int = 0,
    say: Callable[[str], None] = print_line,
    val_data: Optional[Data] = None,
    optimizer: Optional[str] = None,
    augmentation: Optional[str] = None,
    amp: Optional[bool] = None,
    num_workers: Optional[int] = None,
    fast: bool = False,
    cfg_options: Optional[Dict[str, Any]] = None,
    verbose: bool = False,
    unlabeled: Optional[Union[str, 'os.PathLike[str]']] = None,
) -> Result:
    """Train students on a folder of images, and export the best one.

    A teacher without weights for the classes of the data is trained first.
    Calling it again with the same ``work_dir`` skips what is finished and
    resumes what is not.

    Args:
        data (str | PathLike | dict | Dataset): A folder of images, see
            :func:`~mmdckd.easy.folder.read_folder`; the config of an
            MMPretrain dataset; or a ``torch.utils.data.Dataset`` of (image,
            label) pairs. An image is a PIL image, or an array or tensor of
            uint8 (RGB), which is resized, augmented and normalized; or a float
            tensor, which the networks receive unchanged.
        student (str | nn.Module | Callable): The network of every student: a
            name, see :data:`~mmdckd.easy.networks.FORMS`; an ``nn.Module``
            whose forward takes images and returns logits (B, C): every student
            is a copy of it with layers initialized from its own seed; or a
            function that takes ``num_classes`` and returns such a network.
        teacher (str | nn.Module | Callable, optional): The network of the
            teacher, in the same forms; an ``nn.Module`` counts as trained and
            is used unchanged. With ``'none'`` or None the students learn only
            from each other. Defaults to ``'none'``.
        num_students (int, optional): How many students learn together. Defaults
            to None: 4 without a teacher or with at most 5,000 labeled images,
            else 1.
        work_dir (str): The output folder. Defaults to
            ``'work_dirs/distill'``.
        image_size (int, optional): The side of the images that the networks
            see. Defaults to None: chosen to fit the data, like the next three.
        batch_size (int, optional): Images per batch. Defaults to None.
        epochs (int, optional): Passes over the images. Defaults to None.
        lr (float, optional): The highest learning rate. Defaults to None.
        pretrained (bool): Whether teacher and students start from the
            pretrained weights that their libraries list, and copies of an
            ``nn.Module`` from its weights. Defaults to False.
        seed (int): The seed of all trainings. Defaults to 0.
        say (Callable): Called with each chosen setting and its reason.
            Defaults to printing it.
        val_data (dict | Dataset, optional): The validation data, if ``data`` is
            not a folder. Defaults to None: a fifth of each class is split off.
        optimizer (str, optional): ``'sgd'`` or ``'adamw'``. Defaults to None:
            chosen to fit, like the next three.
        augmentation (str, optional): Random changes of the training images:
            ``'none'``, ``'shift'``, ``'flip'`` (shifted and mirrored) or
            ``'crop'`` (scaled, cropped and mirrored). Defaults to None.
        amp (bool, optional): Whether to train in mixed precision. Defaults to
            None.
        num_workers (int, optional): Processes that load images. Defaults to
            None.
        fast (bool): Whether to train faster, with results that differ by
            rounding. Defaults to False.
        cfg_options (Dict[str, Any], optional): Settings of the generated
            config by dotted key, such as
            ``{'optim_wrapper.optimizer.weight_decay': 0.001}``. All except
            those of ``model`` also apply when a teacher is trained. Defaults to
            None.
        verbose (bool): Whether to also print the output of other packages,
            which otherwise goes only to the log files. Defaults to False.
        unlabeled (str | PathLike, optional): A folder of images without labels that the
            students also learn from; see
            :func:`~mmdckd.easy.unlabeled.read_unlabeled`. Defaults to None.

    Returns:
        Result: The best student, and its results.

    Raises:
        FileNotFoundError: If a folder or file does not exist.
        ValueError: If an argument or the data are invalid; nothing has been
            trained then.

    Examples:
        >>> result = mmdckd.distill(
        ...     data='photos', teacher='resnet34_8xb32_in1k',
        ...     student='resnet18_8xb32_in1k', work_dir='work_dirs/photos')
        >>> result.predict('photo.jpg')[0]
    """
    alone = teacher is None or teacher == NONE
    check_numbers(num_students, seed, alone)
    check_bool('pretrained', pretrained)
    check_bool('fast', fast)
    check_writable(work_dir, 'work_dir')
    check_can_be_named(work_dir, 'work_dir')
    changes = Changes(cfg_options or {}, fast)
    source = read_source(data, val_data, image_size)
    others = read_unlabeled(unlabeled, source)
    check_apart(work_dir, data, source, others.path)
    students = _find(student, source.num_classes, pretrained, 'student')
    taught_by = None
    if not alone:
        taught_by = _find(teacher, source.num_classes, pretrained, 'teacher')
    if source.kind == TENSORS:
        image_size, augmentation = _as_they_are(source, image_size, augmentation)
    given: Dict[str, Any] = dict(
        image_size=image_size,
        augmentation=augmentation,
        batch_size=batch_size,
        epochs=epochs,
        optimizer=optimizer,
        lr=lr,
        amp=amp,
        num_workers=num_workers,
    )
    recipe = choose_recipe(others.extend(source), students.has_weights, **given)
    say(f'{len(source):,} images of {source.num_classes} classes in {source.name}')
    warnings = [f'warning: {warning}' for warning in source.warnings]
    reasons = list(recipe.reasons)
    if num_students is None:
        num_students, why = choose_students(source.num_train, alone)
        reasons.append(f'num_students = {num_students}: {why}')
    for line in [*others.lines(), *warnings, *reasons]:
        say(line)
    run = osp.join(work_dir, 'students')
    objects = {**source.objects, **objects_of(student=students, teacher=taught_by)}
    with giving(objects):
        settings = student_config(source, recipe, students, num_students, None, seed)
        networks = dict(student=students)
        if taught_by is not None:
            networks['teacher'] = taught_by
        try_networks(networks, settings, source.num_classes)
        check_differ(students, num_students)
        os.makedirs(work_dir, exist_ok=True)
        students = keep_weights(students, osp.join(work_dir, f'{STUDENT}.pth'))
        teacher_cfg = None
        if taught_by is not None:
            kept = osp.join(work_dir, f'{TEACHER}.pth')
            check_same_weights(taught_by, kept, run)
            taught_by = keep_weights(taught_by, kept)
            teacher_cfg = taught_by.config
            if not taught_by.has_head:
                planned = student_config(
                    source, recipe, students, num_students, _untrained(taught_by), seed
                )
                _rehearse(others.mix_into(planned), changes)
                # The teacher sees only the labeled images, which are fewer.
                own = choose_recipe(source, taught_by.has_weights, **given)
                teacher_cfg = _train_teacher(
                    source, own, taught_by, work_dir, seed, changes.without_model(), say
                )
        settings = student_config(
            source, recipe, students, num_students, teacher_cfg, seed
        )
        say(f'{num_students} x {students.name}: training in {run}')
        cfg = _train(others.mix_into(settings), run, changes)
        best = osp.join(run, 'best.pth')
        metrics, parameters = _measure(cfg, best)
        say(f'Writing the best student and the report to {work_dir}')
        exported = export_student(best, osp.join(work_dir, 'exported'), cfg=cfg)
        images = two_images(settings)
    report = write_report([read_run(run)], work_dir)
    result = Result(
        name=exported.name,
        exported=exported,
        metrics=metrics,
        measured_on='val' if source.test is None else 'test',
        parameters=parameters,
        report=report,
        work_dir=work_dir,
        objects=objects_of(student=students),
    )
    if result.objects:
        program = osp.join(work_dir, 'exported', f'{exported.name}.pt2')
        export_program(result.student, images, program)
    return result


def _find(
    network: Network, num_classes: int, pretrained: bool, key: str
) -> NamedNetwork:
    if isinstance(network, str):
        return find_network(network, num_classes, pretrained, key)
    # A teacher always keeps the weights that it is given with.
    return given_network(network, num_classes, key, pretrained or key == TEACHER)


def _as_they_are(
    source: Source, image_size: Optional[int], augmentation: Optional[str]
) -> Tuple[int, str]:
    """Return the size and augmentation of tensors, which stay unchanged."""
    if augmentation not in (None, 'none'):
        raise ValueError(
            "Invalid `augmentation`: expected None or 'none' for float tensors, "
            f'which networks receive unchanged, got {augmentation!r}.'
        )
    return source.short_side if image_size is None else image_size, 'none'


def _untrained(teacher: NamedNetwork) -> dict:
    """Return the config of a teacher without weights for the classes."""
    weights = ('pretrained', 'new_head')
    return {key: each for key, each in teacher.config.items() if key not in weights}


def _rehearse(settings: dict, changes: Changes) -> None:
    """Find mistakes in the students' settings before the teacher is trained."""
    cfg = make_config(settings, changes)
    set_all_dataloader_defaults(cfg)
    rehearse(cfg)


def _train_teacher(
    source: Source,
    recipe: Recipe,
    teacher: NamedNetwork,
    work_dir: str,
    seed: int,
    changes: Changes,
    say: Callable[[str], None],
) -> dict:
    """Train a network alone, and return its config as a teacher."""
    run = osp.join(work_dir, TEACHER)
    say(
        f'{teacher.name}, the teacher, has no weights for these classes: training it '
        f'in {run}'
    )
    settings = student_config(source, recipe, teacher, 1, None, seed)
    cfg = _train(settings, run, changes, only_student=TEACHER)
    exported = export_student(
        osp.join(run, 'best.pth'), osp.join(run, 'exported'), cfg=cfg
    )
    return dict(cfg_path=exported.config, pretrained=exported.checkpoint)


def _train(
    settings: dict, work_dir: str, changes: Changes, only_student: Optional[str] = None
) -> Config:
    """Train from a config that is written beside the folder of the run.

    MMEngine writes it again into the folder, with everything it inherits.
    """
    path = f'{work_dir}.py'
    check_same_run(settings, changes, path, work_dir)
    cfg = write_config(settings, path, changes)
    cfg.work_dir = work_dir
    cfg.resume = osp.isdir(work_dir)
    set_all_dataloader_defaults(cfg)
    build_runner(cfg, current_console(), only_student).train()
    return cfg


def _measure(cfg: Config, checkpoint: str) -> Tuple[Dict[str, float], Dict[str, int]]:
    """Test all members, and count their parameters."""
    cfg = copy.deepcopy(cfg)
    cfg.work_dir = osp.join(osp.dirname(cfg.work_dir), 'test')
    cfg.resume, cfg.load_from = False, checkpoint
    set_all_dataloader_defaults(cfg)
    runner = build_runner(cfg, current_console())
    metrics = runner.test()
    model = runner.model
    members = dict(model.cohort.items())
    members.update(zip(model.teacher_names, (t.model for t in model.teachers)))
    return metrics, {
        name: sum(parameter.numel() for parameter in network.parameters())
        for name, network in members.items()
    }
