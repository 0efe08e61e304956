# Copyright (c) mmdckd contributors. All rights reserved.
"""Convert a distillation config of MMRazor to the config of a cohort."""

import ast
import os
import os.path as osp
import re
from tempfile import TemporaryDirectory
from typing import Any, List, NamedTuple, Optional

import mmrazor
from mmengine.config import Config, ConfigDict

from mmdckd.io.config_file import CircularConfigError, refusing_circles
from mmdckd.names import BEST, TEACHER, metric_name

from .custom_keys import rename_custom_keys

#: The algorithms that become a CollectiveDistill.
ALGORITHMS = ('SingleTeacherDistill', 'SelfDistill', 'OverhaulFeatureDistillation')
#: MMRazor's algorithms that cannot become a cohort, and the reasons.
OTHER_ALGORITHMS = {
    'DataFreeDistillation': (
        'it has no data: a generator, trained against teacher and student in '
        'turn, produces the images'
    ),
    'DAFLDataFreeDistillation': (
        'it has no data: a generator, trained with the student, produces the images'
    ),
    'FpnTeacherDistill': 'it is for detection: its teacher runs without a head',
}
#: Configs that have another name in MMPretrain than in mmcls.
RENAMED_CONFIGS = {'deit/deit-base_pt-16xb64_in1k.py': 'deit/deit-base_16xb64_in1k.py'}
#: Types that have another name in MMPretrain or here, without their package.
RENAMED_TYPES = {
    'ClsVisualizer': 'mmpretrain.UniversalVisualizer',
    'PackClsInputs': 'mmpretrain.PackInputs',
    'PackCRDClsInputs': 'mmdckd.PackCRDInputs',
}
#: Datasets of which MMPretrain only uses `split`, whose default is 'train'.
SPLIT_DATASETS = ('CIFAR10', 'CIFAR100', 'CUB', 'FashionMNIST', 'MNIST')


class Conversion(NamedTuple):
    """A converted config.

    Attributes:
        config (Config): The complete, self-contained config.
        notes (List[str]): The changes beyond names, for the user.
    """

    config: Config
    notes: List[str]


def convert_config(path: str, num_students: int) -> Conversion:
    """Convert a classification distillation config of MMRazor.

    - MMPretrain replaces mmcls, including renamed configs and types, and
      CIFAR's ``test_mode``.
    - The algorithm becomes ``mmdckd.CollectiveDistill`` with ``num_students``
      students, and its distiller ``mmdckd.CollectiveDistiller``; recorders,
      connectors, losses and mappings stay the same.
    - Validation reports the accuracy of every student.
    - A run can be interrupted at any point and resumes exactly.

    Args:
        path (str): A config file of MMRazor.
        num_students (int): The number of students.

    Returns:
        Conversion: The config and notes for the user.

    Raises:
        ValueError: If the file is no such config, or the algorithm cannot become a
            cohort.
    """
    notes: List[str] = []
    cfg = read_config(path)
    model = cfg.get('model') or {}
    _check_dict('model', model, path)
    algorithm = str(model.get('type', '')).split('.')[-1]
    if algorithm not in ALGORITHMS:
        reason = OTHER_ALGORITHMS.get(
            algorithm, 'it is not an algorithm of distillation'
        )
        raise ValueError(
            f'Invalid `model.type` in {path}: expected one of {ALGORITHMS}, which '
            f'can become a cohort, got {algorithm or "none"}: {reason}.'
        )
    for key in ('architecture', 'distiller', *({'teacher'} & {*model})):
        _check_dict(f'model.{key}', model.get(key), path)
    _modernize(cfg._cfg_dict)
    cfg.model = _cohort(cfg.model, num_students, notes)
    _share_preprocessor(cfg)
    for key, loop in dict(
        val_cfg='mmdckd.CollectiveValLoop', test_cfg='mmdckd.CollectiveTestLoop'
    ).items():
        if cfg.get(key) is not None:
            cfg[key] = dict(cfg[key], type=loop)
    saving = cfg.get('default_hooks', {}).get('checkpoint') or dict(interval=1)
    cfg.merge_from_dict(
        {
            'default_hooks.checkpoint': dict(
                saving, type='mmdckd.CohortCheckpointHook'
            ),
            'default_hooks.check_run': dict(type='mmdckd.CheckRunHook'),
            'default_hooks.exact_resume': dict(type='mmdckd.ExactResumeHook'),
            'default_hooks.preemption': dict(type='mmdckd.PreemptionHook'),
        }
    )
    rename_custom_keys(cfg, num_students, notes)
    for key in ('default_hooks', 'custom_hooks', 'param_scheduler'):
        _rename_metrics(cfg.get(key))
    # Convert again, so that the new parts are ConfigDicts, too.
    return Conversion(Config(cfg.to_dict()), notes)


def _check_dict(key: str, value: Any, path: str) -> None:
    if not isinstance(value, dict):
        raise ValueError(
            f'Invalid `{key}` in {path}: expected a dict, as in a config of MMRazor, '
            f'got {value!r}.'
        )


def read_config(path: str) -> Config:
    """Read a config of MMRazor, replacing mmcls by MMPretrain in all configs
    that it inherits from.

    Args:
        path (str): The config file.

    Returns:
        Config: The config.

    Raises:
        ValueError: If it cannot be read.
    """
    try:
        with refusing_circles(path), TemporaryDirectory() as folder:
            if Config._is_lazy_import(path):
                # Never of mmcls. The classes become their names.
                return Config(Config.fromfile(path).to_dict())
            return Config.fromfile(_copy(osp.abspath(path), folder))
    except CircularConfigError:
        raise
    except Exception as error:  # a config is code
        raise ValueError(
            f'Invalid config {path!r}: expected a file that MMEngine can read, got '
            f'{type(error).__name__}: {error}'
        ) from error


def _copy(path: str, folder: str) -> str:
    """Copy a config and its base configs below a folder, with MMPretrain's
    names."""
    with open(path, encoding='utf-8') as file:
        text = file.read()
    statement = _base_statement(text)
    if statement is not None:
        bases = ast.literal_eval(statement.value)
        copies = [
            _copy_base(base, path, folder)
            for base in ([bases] if isinstance(bases, str) else bases)
        ]
        source = ast.get_source_segment(text, statement)
        text = text.replace(source or '', f'_base_ = {copies!r}')
    for old, new in RENAMED_CONFIGS.items():
        text = text.replace(f'mmcls::{old}', f'mmcls::{new}')
    # Of configs, scopes, types and imported modules.
    text = re.sub(r"""(?<=['"])mmcls(?=['".]|::)""", 'mmpretrain', text)
    # The folder of the copy would be gone.
    text = re.sub(r'\{\{\s*fileDirname\s*\}\}', lambda _: osp.dirname(path), text)
    copy = osp.join(folder, *osp.splitdrive(path)[1].split(os.sep))
    os.makedirs(osp.dirname(copy), exist_ok=True)
    with open(copy, 'w', encoding='utf-8') as file:
        file.write(text)
    return copy


def _copy_base(base: str, path: str, folder: str) -> str:
    """Copy a base config, unless it is one of another package than MMRazor."""
    package, scoped, name = base.partition('::')
    if not scoped:
        return _copy(osp.normpath(osp.join(osp.dirname(path), base)), folder)
    return _copy(_shipped(name), folder) if package == 'mmrazor' else base


def _shipped(name: str) -> str:
    """Return the path of a config that MMRazor ships."""
    return osp.join(osp.dirname(mmrazor.__file__), '.mim', 'configs', name)


def _base_statement(text: str) -> Optional[ast.Assign]:
    for statement in ast.parse(text).body:
        if (
            isinstance(statement, ast.Assign)
            and getattr(statement.targets[0], 'id', None) == '_base_'
        ):
            return statement
    return None


def _modernize(part) -> None:
    """Replace every type in a config by its current name."""
    if isinstance(part, (list, tuple)):
        for item in part:
            _modernize(item)
    if not isinstance(part, dict):
        return
    kind = part.get('type')
    if isinstance(kind, str):
        own = kind.rpartition('.')[2]
        part['type'] = RENAMED_TYPES.get(own, kind)
        if own in SPLIT_DATASETS:
            part.setdefault('split', 'test' if part.get('test_mode') else 'train')
    for item in part.values():
        _modernize(item)


def _cohort(model: ConfigDict, num_students: int, notes: List[str]) -> ConfigDict:
    model.pop('_scope_', None)
    # mmdckd knows itself when the teacher may work in place.
    model.pop('teacher_module_inplace', None)
    model.type = 'mmdckd.CollectiveDistill'
    model.num_students = num_students
    model.architecture = _network(model.architecture)
    if 'teacher' in model:
        model.teacher = _network(model.teacher)
        _set_weights(model, notes)
    pretraining = model.get('init_cfg')
    if isinstance(pretraining, dict) and 'checkpoint' in pretraining:
        notes.append(
            '`model.init_cfg` names the checkpoint of a pretraining with '
            f'MMRazor, {pretraining["checkpoint"]}. A cohort has different students '
            'and connectors: convert and run the pretraining, and set its '
            'checkpoint here.'
        )
    kind = model.distiller.pop('type').split('.')[-1]
    model.distiller.pop('_scope_', None)
    if kind != 'ConfigurableDistiller':
        model.distiller.student_distiller = dict(type=kind)
    if kind == 'BYOTDistiller':
        _flatten_pooled(model.distiller, notes)
    model.distiller.type = 'mmdckd.CollectiveDistiller'
    return model


def _rename_metrics(part: Any) -> None:
    """Follow the metrics of the best student where the one of MMRazor's was."""
    if isinstance(part, (list, tuple)):
        for item in part:
            _rename_metrics(item)
    if not isinstance(part, dict):
        return
    for key, value in part.items():
        if key not in ('monitor', 'save_best'):
            _rename_metrics(value)
        elif isinstance(value, str):
            part[key] = _rename_metric(value)
        elif isinstance(value, (list, tuple)):
            part[key] = [_rename_metric(name) for name in value]


def _rename_metric(name: str) -> str:
    if name == 'auto':
        return name
    member, dot, own = name.partition('.')
    if dot and member == TEACHER:
        return metric_name(TEACHER, own)
    return metric_name(BEST, own if dot and member == 'student' else name)


def _network(cfg: ConfigDict) -> ConfigDict:
    """Convert a network to MMPretrain's; a config of MMRazor that inherits from
    mmcls is replaced by its content."""
    path = cfg.get('cfg_path', '')
    if not path.startswith('mmrazor::'):
        return cfg
    base = read_config(_shipped(path.partition('::')[2]))
    _modernize(base._cfg_dict)
    return base.model


def _set_weights(model: ConfigDict, notes: List[str]) -> None:
    """Set the teacher's weights in one place."""
    teacher = model.teacher
    if model.get('teacher_ckpt'):
        # MMRazor loads it after `pretrained`, so it wins.
        teacher.pop('pretrained', None)
    elif 'type' in teacher:
        model.allow_random_teacher = True
        notes.append(
            'The parts of the teacher load their own weights, which mmdckd does '
            'not verify, so `model.allow_random_teacher=True` is set.'
        )
    elif not teacher.get('pretrained'):
        teacher.pretrained = True
        notes.append(
            'In MMRazor, the checkpoint of the pretraining contains the weights of '
            'the teacher. A cohort does not save its teacher, so '
            '`model.teacher.pretrained=True` is set.'
        )


def _flatten_pooled(distiller: ConfigDict, notes: List[str]) -> None:
    """Record the flat output of a neck instead of its pooling layer."""
    for name, recorder in distiller.teacher_recorders.items():
        if recorder.source != 'neck.gap':
            continue
        recorder.source = 'neck'
        for mapping in distiller.loss_forward_mappings.values():
            for record in mapping.values():
                if record.recorder == name and not record.from_student:
                    record.data_idx = 0
        notes.append(
            f'`distiller.teacher_recorders.{name}` records `neck` instead of '
            '`neck.gap`: MMRazor compares (B, C) with (B, C, 1, 1), which torch '
            'silently broadcasts to (B, C, B, C).'
        )


def _share_preprocessor(cfg: Config) -> None:
    """Set the data preprocessor once, with MMPretrain's keys."""
    own = cfg.model.pop('data_preprocessor', None)
    if own is None:
        return
    if own.type.split('.')[-1] == 'ImgDataPreprocessor':
        own = dict(
            type='mmpretrain.ClsDataPreprocessor',
            num_classes=cfg.get('data_preprocessor', {}).get('num_classes'),
            mean=own.get('mean'),
            std=own.get('std'),
            to_rgb=own.get('bgr_to_rgb', False) or own.get('rgb_to_bgr', False),
        )
    cfg.data_preprocessor = own
