# Copyright (c) mmdckd contributors. All rights reserved.
"""From a distillation config of MMRazor to one of a cohort."""

import ast
import os
import os.path as osp
import re
from tempfile import TemporaryDirectory
from typing import Any, List, NamedTuple

import mmrazor
from mmengine.config import Config, ConfigDict

from mmdckd.names import parameter_prefix, student_names

#: What becomes a CollectiveDistill.
ALGORITHMS = ('SingleTeacherDistill', 'SelfDistill', 'OverhaulFeatureDistillation')
#: MMRazor's algorithms that a cohort has no place for, and why.
OTHER_ALGORITHMS = {
    'DataFreeDistillation': (
        'it has no data: a generator, trained against teacher and student in '
        'turn, makes the images'
    ),
    'DAFLDataFreeDistillation': (
        'it has no data: a generator, trained beside the student, makes the images'
    ),
    'FpnTeacherDistill': 'it is for detection: its teacher runs without its head',
}
#: Configs that MMPretrain calls otherwise than mmcls did.
RENAMED_CONFIGS = {'deit/deit-base_pt-16xb64_in1k.py': 'deit/deit-base_16xb64_in1k.py'}
#: Types that have another name now.
RENAMED_TYPES = {
    'PackClsInputs': 'PackInputs',
    'PackCRDClsInputs': 'mmdckd.PackCRDInputs',
    'mmrazor.SingleTeacherDistillValLoop': 'mmdckd.CollectiveValLoop',
    'mmrazor.SelfDistillValLoop': 'mmdckd.CollectiveValLoop',
}


class Conversion(NamedTuple):
    """A converted config.

    Attributes:
        config (Config): It, complete and self-contained.
        notes (List[str]): What was changed that is more than a name.
    """

    config: Config
    notes: List[str]


def convert_config(path: str, num_students: int) -> Conversion:
    """Convert a classification distillation config of MMRazor.

    - What was mmcls is MMPretrain; a config by another name, a type by
      another name, and CIFAR's ``test_mode`` included.
    - The algorithm is ``mmdckd.CollectiveDistill`` with ``num_students``
      students, its distiller ``mmdckd.CollectiveDistiller``; recorders,
      connectors, losses and mappings stay as they are.
    - Validation tells the accuracy of every student.
    - A run can be interrupted anywhere, and resumes exactly.

    Args:
        path (str): A config file of MMRazor.
        num_students (int): How many students there will be.

    Returns:
        Conversion: The config, and what a user should know.

    Raises:
        ValueError: If the config trains otherwise than a cohort can.
    """
    notes: List[str] = []
    cfg = read_config(path)
    algorithm = cfg.get('model', {}).get('type', '').split('.')[-1]
    if algorithm not in ALGORITHMS:
        reason = OTHER_ALGORITHMS.get(
            algorithm, f'`model.type` should be one of {ALGORITHMS}'
        )
        raise ValueError(
            f'{path} trains by {algorithm or "no algorithm"}, '
            f'which does not become a cohort: {reason}.'
        )
    _modernise(cfg._cfg_dict)
    cfg.model = _cohort(cfg.model, num_students, notes)
    _share_preprocessor(cfg)
    cfg.val_cfg = dict(type='mmdckd.CollectiveValLoop')
    if cfg.get('test_cfg') is not None:
        cfg.test_cfg = dict(type='mmdckd.CollectiveTestLoop')
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
    _rename_custom_keys(cfg, num_students, notes)
    # Read again, so that what was put in is a ConfigDict too.
    return Conversion(Config(cfg.to_dict()), notes)


def read_config(path: str) -> Config:
    """Read a config of MMRazor and all it inherits from, mmcls being
    MMPretrain.

    Args:
        path (str): The config file.

    Returns:
        Config: The config.
    """
    with TemporaryDirectory() as folder:
        return Config.fromfile(_copy(osp.abspath(path), folder))


def _copy(path: str, folder: str) -> str:
    """Copy a config and its relatives, all by MMPretrain's names, each to its
    own path below a folder."""
    with open(path, encoding='utf-8') as file:
        text = file.read()
    for base in _bases(text):
        if '::' not in base:
            _copy(osp.normpath(osp.join(osp.dirname(path), base)), folder)
    for old, new in RENAMED_CONFIGS.items():
        text = text.replace(f'mmcls::{old}', f'mmcls::{new}')
    text = text.replace('mmcls::', 'mmpretrain::')
    copy = osp.join(folder, *osp.splitdrive(path)[1].split(os.sep))
    os.makedirs(osp.dirname(copy), exist_ok=True)
    with open(copy, 'w', encoding='utf-8') as file:
        file.write(text)
    return copy


def _bases(text: str) -> List[str]:
    for statement in ast.parse(text).body:
        if (
            isinstance(statement, ast.Assign)
            and getattr(statement.targets[0], 'id', None) == '_base_'
        ):
            bases = ast.literal_eval(statement.value)
            return [bases] if isinstance(bases, str) else list(bases)
    return []


def _modernise(part) -> None:
    """Give every type and scope in a config its present name."""
    if isinstance(part, (list, tuple)):
        for item in part:
            _modernise(item)
    if not isinstance(part, dict):
        return
    if part.get('_scope_') == 'mmcls':
        part['_scope_'] = 'mmpretrain'
    kind = part.get('type')
    if isinstance(kind, str):
        kind = re.sub(r'^mmcls\.', 'mmpretrain.', kind)
        part['type'] = RENAMED_TYPES.get(kind, kind)
        if part['type'] in ('CIFAR10', 'CIFAR100'):
            # MMPretrain goes by `split` alone, and its default is 'train'.
            part.setdefault('split', 'test' if part.get('test_mode') else 'train')
    for item in part.values():
        _modernise(item)


def _cohort(model: ConfigDict, num_students: int, notes: List[str]) -> ConfigDict:
    model.pop('_scope_', None)
    model.type = 'mmdckd.CollectiveDistill'
    model.num_students = num_students
    model.architecture = _network(model.architecture)
    if 'teacher' in model:
        model.teacher = _network(model.teacher)
        _set_weights(model, notes)
    pretraining = model.get('init_cfg')
    if pretraining:
        notes.append(
            '`model.init_cfg` names the checkpoint of a pretraining by '
            f'MMRazor, {pretraining.checkpoint}. A cohort has students and '
            'connectors of its own: convert and run the pretraining, and name '
            'its checkpoint here.'
        )
    kind = model.distiller.pop('type').split('.')[-1]
    model.distiller.pop('_scope_', None)
    if kind != 'ConfigurableDistiller':
        model.distiller.student_distiller = dict(type=kind)
    if kind == 'BYOTDistiller':
        _flatten_pooled(model.distiller, notes)
    model.distiller.type = 'mmdckd.CollectiveDistiller'
    return model


def _rename_custom_keys(cfg: Config, num_students: int, notes: List[str]) -> None:
    """Let settings of single parameters reach those of every student."""
    paramwise: Any = (cfg.get('optim_wrapper') or {}).get('paramwise_cfg') or {}
    custom_keys = paramwise.get('custom_keys') or {}
    old = 'architecture.'
    renamed = {key for key in custom_keys if key.startswith(old)}
    if not renamed:
        return
    paramwise.custom_keys = {
        new: settings
        for key, settings in custom_keys.items()
        for new in (
            [
                parameter_prefix(student) + key[len(old) :]
                for student in student_names(num_students)
            ]
            if key in renamed
            else [key]
        )
    }
    notes.append(
        '`optim_wrapper.paramwise_cfg.custom_keys` has a key for '
        f'each of {num_students} students in place of '
        f'{", ".join(sorted(renamed))}: change it when you change '
        '`num_students`.'
    )


def _network(cfg: ConfigDict) -> ConfigDict:
    """A network that MMPretrain knows; a config of MMRazor's inherits from
    mmcls, so what it says is put in its place."""
    path = cfg.get('cfg_path', '')
    if not path.startswith('mmrazor::'):
        return cfg
    base = read_config(
        osp.join(
            osp.dirname(mmrazor.__file__), '.mim', 'configs', path.partition('::')[2]
        )
    )
    _modernise(base._cfg_dict)
    return base.model


def _set_weights(model: ConfigDict, notes: List[str]) -> None:
    """Let the teacher's weights come from one place."""
    teacher = model.teacher
    if model.get('teacher_ckpt'):
        # MMRazor loads it over what `pretrained` has given.
        teacher.pop('pretrained', None)
    elif 'type' in teacher:
        model.allow_random_teacher = True
        notes.append(
            'The parts of the teacher load weights of their own, '
            'which mmdckd does not verify: '
            '`model.allow_random_teacher=True`.'
        )
    elif not teacher.get('pretrained'):
        teacher.pretrained = True
        notes.append(
            'In MMRazor the weights of the teacher are in the '
            'checkpoint of the pretraining. A cohort saves no '
            'teacher: `model.teacher.pretrained=True`.'
        )


def _flatten_pooled(distiller: ConfigDict, notes: List[str]) -> None:
    """Record what a neck returns, flat, instead of its pooling layer."""
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
            '`neck.gap`: MMRazor compares (B, C) with (B, C, 1, 1), which '
            'torch spreads to (B, C, B, C) without a word.'
        )


def _share_preprocessor(cfg: Config) -> None:
    """Say once how images are preprocessed, in the words of MMPretrain."""
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
