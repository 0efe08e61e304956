# Copyright (c) mmdckd contributors. All rights reserved.
"""MMRazor's own configs become cohorts."""

import os.path as osp
import subprocess

import pytest
import torch
from mmengine.config import Config
from mmengine.optim import DefaultOptimWrapperConstructor
from mmengine.registry import TRANSFORMS, VISUALIZERS, DefaultScope
from torch import nn

from helpers import warm
from helpers.commands import run
from helpers.networks import network
from helpers.paths import TOOLS
from mmdckd.convert.custom_keys import rename_custom_keys
from mmdckd.convert.razor import convert_config
from mmdckd.engine.checks import check_custom_keys
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.registry import MODELS
from studies.razor.check_configs import FOLDER, fault_of_run, razor_configs, run_small

TOOL = str(TOOLS / 'convert_razor_config.py')
DATA_FREE = {'dafl', 'dfad', 'zskt'}
CONFIGS = razor_configs()
CONVERTED = [path for path in CONFIGS if path.split(osp.sep)[0] not in DATA_FREE]
KD = 'kd/kd_logits_resnet34_resnet18_8xb32_in1k.py'
CRD = 'crd/crd_neck_r50_r18_8xb16_cifar10.py'


def convert(path, num_students=2):
    return convert_config(osp.join(FOLDER, *path.split('/')), num_students)


def test_configs_are_found():
    folders = {path.split(osp.sep)[0] for path in CONFIGS}
    assert folders == {
        'abloss',
        'byot',
        'crd',
        'dafl',
        'deit',
        'dfad',
        'dist',
        'dkd',
        'factor_transfer',
        'fitnets',
        'kd',
        'ofd',
        'rkd',
        'wsld',
        'zskt',
    }


@pytest.mark.parametrize('path', CONVERTED)
def test_converts(path):
    config, _ = convert(path, 3)
    assert 'mmcls' not in str(config.to_dict())
    assert config.model.type == 'mmdckd.CollectiveDistill'
    assert config.model.num_students == 3
    assert config.model.distiller.type == 'mmdckd.CollectiveDistiller'
    assert config.val_cfg.type == 'mmdckd.CollectiveValLoop'
    hooks = [
        config.default_hooks[key].type.replace('mmdckd.', '')
        for key in ('checkpoint', 'check_run', 'exact_resume', 'preemption')
    ]
    assert hooks == [
        'CohortCheckpointHook',
        'CheckRunHook',
        'ExactResumeHook',
        'PreemptionHook',
    ]


@pytest.mark.parametrize('path', [KD, CRD])
def test_converted_config_reads_back_from_its_text(path, tmp_path):
    config, _ = convert(path)
    file = tmp_path / 'config.py'
    config.dump(str(file))
    assert Config.fromfile(str(file)).to_dict() == config.to_dict()


@pytest.mark.parametrize('folder', sorted(DATA_FREE))
def test_what_has_no_data_is_refused(folder):
    (path,) = (path for path in CONFIGS if path.startswith(folder))
    with pytest.raises(ValueError, match='no data: a generator'):
        convert(path)


def test_kd_means_what_it_meant():
    config, notes = convert(KD, 4)
    assert not notes
    model = config.model
    assert model.teacher == dict(cfg_path='mmpretrain::resnet/resnet34_8xb32_in1k.py')
    assert model.teacher_ckpt.endswith('resnet34_8xb32_in1k_20210831-f257d4e6.pth')
    assert model.distiller.distill_losses == dict(
        loss_kl=dict(type='KLDivergence', tau=1, loss_weight=3)
    )
    assert config.data_preprocessor == dict(
        type='mmpretrain.ClsDataPreprocessor',
        num_classes=1000,
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        to_rgb=True,
    )
    assert config.train_dataloader.dataset.type == 'ImageNet'
    assert config.optim_wrapper.optimizer.lr == 0.1


def test_validation_images_are_not_those_of_training():
    """By ``test_mode`` alone MMPretrain takes the training set of CIFAR."""
    for path in ('byot/byot_resnet18_8xb16_cifar100.py', CRD):
        config, _ = convert(path)
        splits = []
        for loader in (config.train_dataloader, config.val_dataloader):
            dataset = loader.dataset
            splits.append(dataset.get('dataset', dataset).split)
        assert splits == ['train', 'test']


def test_networks_of_mmrazor_are_put_in_place():
    config, _ = convert('ofd/ofd_backbone_resnet50_resnet18_8xb16_cifar10.py')
    config.model.pop('teacher_ckpt')
    with DefaultScope.overwrite_default_scope(config.default_scope):
        model = CollectiveDistill(
            allow_random_teacher=True,
            data_preprocessor=config.data_preprocessor,
            **{key: value for key, value in config.model.items() if key != 'type'},
        )
    backbone = model.cohort.students['student1'].backbone
    assert type(backbone).__module__.startswith('mmrazor.')
    assert (backbone.depth, backbone.widen_factor) == (16, 2)
    assert model.teachers[0].model.backbone.depth == 28
    margins = [
        connector.margin
        for distiller in model.distiller.student_distillers.values()
        for name, connector in distiller.connectors.items()
        if name.endswith('tfeat')
    ]
    assert len(margins) == 6
    assert all((margin < 0).all() for margin in margins)


def test_byot_keeps_its_distiller_and_compares_vectors():
    config, notes = convert('byot/byot_resnet18_8xb16_cifar100.py')
    assert config.model.distiller.student_distiller.type == 'BYOTDistiller'
    assert 'teacher' not in config.model
    assert '`neck` instead of `neck.gap`' in notes[0]
    mapping = config.model.distiller.loss_forward_mappings
    assert mapping.loss_fet_1.t_feature.data_idx == 0
    assert 'data_idx' not in mapping.loss_softl_1.preds_T


def test_weights_that_were_in_a_checkpoint_of_mmrazor():
    config, notes = convert('abloss/abloss_logits_resnet50_resnet18_8xb32_in1k.py')
    assert config.model.teacher.pretrained is True
    assert any('model.init_cfg' in note for note in notes)


def test_deit_has_the_head_that_mmrazor_trains():
    config, _ = convert('deit/deit-base_regnety160_pt-16xb64_in1k.py')
    head = dict(config.model.architecture.head)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        built = MODELS.build(head)
    assert type(built).__module__.startswith('mmrazor.')
    assert config.data_preprocessor.batch_augments.augments


@pytest.mark.slow
def test_tool_writes_what_trains(tmp_path):
    """A user's SingleTeacherDistill trains after one command."""
    out = tmp_path / 'converted.py'
    run(
        *(warm.python(), TOOL, osp.join(FOLDER, *KD.split('/')), str(out)),
        *('--num-students', '2'),
    )
    config = Config.fromfile(str(out))
    logged = run_small(config, osp.basename(KD), str(tmp_path))
    assert fault_of_run(logged, config) is None
    for name in ('student.{}.loss', 'distill.{}.loss_kl'):
        first, second = (
            logged['train/' + name.format(student)]
            for student in ('student0', 'student1')
        )
        assert first != second
        assert first[0] != first[1]
    assert 'val/teacher/accuracy/top1' in logged


@pytest.mark.parametrize(
    'args, message',
    [
        (['nowhere.py', 'out.py'], 'no such file'),
        ([__file__, 'out.py', '--num-students', '0'], '1 or more'),
        (
            [
                osp.join(
                    FOLDER,
                    'zskt',
                    'zskt_backbone_logits_resnet34_resnet18_8xb16_cifar10.py',
                ),
                'out.py',
            ],
            'which can become a cohort, got',
        ),
    ],
)
def test_tool_says_what_is_wrong(args, message, tmp_path):
    process = subprocess.run(
        [warm.python(), TOOL, *args], cwd=tmp_path, capture_output=True, text=True
    )
    assert process.returncode != 0
    assert message in process.stderr
    assert 'Traceback' not in process.stderr
    assert not (tmp_path / 'out.py').exists()


DISTILL = "model = dict(type='SingleTeacherDistill', "


@pytest.mark.parametrize(
    'text, message',
    [
        ('def (', 'Invalid config .*SyntaxError'),
        ('_base_ = 5', 'Invalid config .*TypeError'),
        ("_base_ = 'nowhere.py'", 'Invalid config .*nowhere.py'),
        ('model = [1]', r'Invalid `model` in .* got \[1\]'),
        ('model = None', 'Invalid `model.type` in .* got none'),
        ('model = dict(type=5)', 'Invalid `model.type` in .* got 5'),
        (f'{DISTILL})', 'Invalid `model.architecture` in .* got None'),
        (f"{DISTILL}architecture='x')", "Invalid `model.architecture` .* got 'x'"),
        (f'{DISTILL}architecture={{}}, distiller=[])', 'Invalid `model.distiller` in'),
        (
            f'{DISTILL}architecture={{}}, distiller={{}}, teacher=3)',
            'Invalid `model.teacher` in .* got 3',
        ),
    ],
)
def test_what_is_no_config_of_mmrazor_is_told(text, message, tmp_path):
    path = tmp_path / 'other.py'
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        convert_config(str(path), 2)


def test_a_run_that_is_wrong_is_found():
    config, _ = convert(KD)
    good = {}
    for name in ('student0', 'student1'):
        good[f'val/{name}/accuracy/top1'] = [1.0]
        for loss in (f'student.{name}.loss', f'distill.{name}.loss_kl'):
            good[f'train/{loss}'] = [1.0, 2.0]
    assert fault_of_run(good, config) is None
    for key in good:
        assert fault_of_run({k: v for k, v in good.items() if k != key}, config)
    assert 'nan' in fault_of_run(
        {**good, 'train/student.student1.loss': [1.0, float('nan')]}, config
    )


def test_settings_of_single_parameters_reach_every_student(tmp_path):
    file = tmp_path / 'custom.py'
    base = osp.relpath(osp.join(FOLDER, KD), tmp_path)
    file.write_text(f"""_base_ = {base!r}
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={{
            'architecture.backbone': dict(lr_mult=0.1),
            'bias': dict(decay_mult=0.)
        }}))
""")
    config, notes = convert_config(str(file), 2)
    custom_keys = config.optim_wrapper.paramwise_cfg.custom_keys
    assert custom_keys == {
        'architecture.students.student0.backbone': dict(lr_mult=0.1),
        'architecture.students.student1.backbone': dict(lr_mult=0.1),
        'bias': dict(decay_mult=0.0),
    }
    assert any('`num_students`' in note for note in notes)


KD_OF_MMRAZOR = f'mmrazor::distill/mmcls/{KD}'


def convert_own(folder, text):
    """Convert a user's config that inherits from MMRazor's KD."""
    file = folder / 'own.py'
    file.write_text(f'_base_ = {KD_OF_MMRAZOR!r}\n{text}')
    return convert_config(str(file), 2)


SMALL = f"""
model = dict(
    architecture=dict(_delete_=True, **{network()!r}),
    teacher=dict(_delete_=True, **{network(34)!r}),
    teacher_ckpt=None,
    distiller=dict(connectors=dict(fc=dict(
        type='mmrazor.ConvModuleConnector', in_channel=8, out_channel=8))))
"""


@pytest.mark.parametrize('trainable', [False, True])
def test_every_custom_key_reaches_the_parameters_that_it_reached(trainable, tmp_path):
    keys = (
        'architecture',
        'architecture.head',
        'connectors.fc',
        'distiller.connectors',
        'distiller.connectors.fc.conv',
        'teacher',
        'teacher.head',
    )
    config, notes = convert_own(
        tmp_path,
        f'{SMALL}\nmodel.update(teacher_trainable={trainable})\n'
        'optim_wrapper = dict(paramwise_cfg=dict(custom_keys={\n'
        + ''.join(f'    {key!r}: dict(lr_mult=0.1),\n' for key in keys)
        + '}))\n',
    )
    custom_keys = list(config.optim_wrapper.paramwise_cfg.custom_keys)
    assert custom_keys == [
        'architecture',
        *(f'architecture.students.student{i}.head' for i in (0, 1)),
        'connectors.fc',
        *(f'distiller.student_distillers.student{i}.connectors' for i in (0, 1)),
        *(
            f'distiller.student_distillers.student{i}.connectors.fc.conv'
            for i in (0, 1)
        ),
        *(['teachers.0.model.', 'teachers.0.model.head'] if trainable else []),
    ]
    dropped = [note for note in notes if 'custom_keys' in note and 'teacher' in note]
    assert bool(dropped) != trainable
    with DefaultScope.overwrite_default_scope(config.default_scope):
        options = dict(config.model, data_preprocessor=config.data_preprocessor)
        model = MODELS.build(options)
    check_custom_keys(model, config.optim_wrapper.paramwise_cfg.custom_keys)


def settings_of(names, custom_keys):
    """The learning rate and the weight decay of parameters with these names."""
    root = nn.Module()
    for name in names:
        *path, last = name.split('.')
        module = root
        for part in path:
            if part not in module._modules:
                module.add_module(part, nn.Module())
            module = module._modules[part]
        module.register_parameter(last, nn.Parameter(torch.zeros(1)))
    constructor = DefaultOptimWrapperConstructor(
        dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1.0, weight_decay=1.0)),
        dict(custom_keys=custom_keys, bias_decay_mult=0.5),
    )
    found = {
        id(group['params'][0]): (group['lr'], group['weight_decay'])
        for group in constructor(root).param_groups
    }
    return {name: found[id(value)] for name, value in root.named_parameters()}


#: The parameters of a single student in MMRazor, and where a cohort has them.
MOVED = {
    'architecture.backbone.layers.0.relative_position_bias_table': 'students',
    'architecture.backbone.norm.bias': 'students',
    'architecture.head.fc.bias': 'students',
    'distiller.connectors.fc.conv.bias': 'student_distillers',
    'distiller.connectors.fc.conv.weight': 'student_distillers',
    'teacher.backbone.norm.bias': '0.model',
    'teacher.head.fc.bias': '0.model',
}


@pytest.mark.parametrize('num_students', [1, 11])
@pytest.mark.parametrize(
    'keys',
    [
        ['architecture.backbone', 'relative_position_bias_table'],
        [
            'architecture.backbone',
            'architecture.backbone.norm',
            'backbone.layers.0.rel',
        ],
        # As long as the other one, and before or after it in the alphabet.
        ['architecture.backbone', 'backbone.layers.0.rel'],
        ['architecture.backbone', '.backbone.layers.0.re'],
        ['architecture.', 'backbone', 'backbone.norm.'],
        ['distiller.connectors', 'connectors.fc.conv.bias'],
        ['distiller.', 'connectors.fc'],
        ['teacher.', 'backbone.norm'],
        ['teacher', 'architecture', 'head.fc.bias', 'norm.bias'],
    ],
)
def test_every_parameter_has_the_settings_that_it_had(keys, num_students):
    """Longer names made a key win over another one."""
    custom_keys = {
        key: dict(lr_mult=0.1 * (i + 1), decay_mult=0.01 * i)
        for i, key in enumerate(keys)
    }
    expected = settings_of(MOVED, custom_keys)
    cfg = Config(
        dict(
            model=dict(teacher_trainable=True),
            optim_wrapper=dict(paramwise_cfg=dict(custom_keys=custom_keys)),
        )
    )
    rename_custom_keys(cfg, num_students, [])
    origin = {}
    for name, where in MOVED.items():
        top, _, own = name.partition('.')
        for i in range(1 if top == 'teacher' else num_students):
            middle = where if top == 'teacher' else f'{where}.student{i}'
            origin[f'{top.replace("teacher", "teachers")}.{middle}.{own}'] = name
    found = settings_of(origin, cfg.optim_wrapper.paramwise_cfg.custom_keys)
    assert found == {name: expected[old] for name, old in origin.items()}


def test_keys_that_cannot_be_told_apart_are_refused():
    custom_keys = {'distiller.connectors': {}, 'connectors.fc.conv.bi': dict(lr=1)}
    cfg = dict(
        model={}, optim_wrapper=dict(paramwise_cfg=dict(custom_keys=custom_keys))
    )
    with pytest.raises(ValueError, match="'distiller.connectors' and 'connectors.fc.c"):
        rename_custom_keys(Config(cfg), 2, [])


def test_a_setting_that_mmdckd_decides_itself_is_left_out(tmp_path):
    config, _ = convert_own(tmp_path, 'model = dict(teacher_module_inplace=True)\n')
    assert 'teacher_module_inplace' not in config.model


def test_a_config_may_inherit_from_those_of_mmrazor(tmp_path):
    """Its own bases then name mmcls, which cannot be installed any more."""
    folder = tmp_path / 'my configs'
    folder.mkdir()
    (folder / 'base.py').write_text(f'_base_ = {KD_OF_MMRAZOR!r}\n')
    (folder / 'own.py').write_text(
        "_base_ = ['./base.py']\n"
        'model = dict(distiller=dict(distill_losses=dict(loss_kl=dict(tau=4))))\n'
    )
    config, _ = convert_config(str(folder / 'own.py'), 2)
    expected, _ = convert(KD)
    expected.model.distiller.distill_losses.loss_kl.tau = 4
    assert config.to_dict() == expected.to_dict()


def test_mmcls_is_replaced_wherever_a_config_names_it(tmp_path):
    config, _ = convert_own(
        tmp_path,
        "default_scope = 'mmcls'\n"
        "custom_imports = dict(imports=['mmcls.models'], allow_failed_imports=False)\n"
        "custom_hooks = [dict(type='PreciseBNHook', _scope_='mmcls')]\n"
        "work_dir = 'work_dirs/mmcls'\n",
    )
    assert config.default_scope == 'mmpretrain'
    assert config.custom_imports.imports == ['mmpretrain.models']
    assert config.custom_hooks[0]._scope_ == 'mmpretrain'
    assert config.work_dir == 'work_dirs/mmcls'


@pytest.mark.parametrize('prefix', ['', 'mmcls.'])
def test_types_have_their_new_names(prefix, tmp_path):
    """MMRazor's scope needs the prefix."""
    config, _ = convert_own(
        tmp_path,
        f"visualizer = dict(_delete_=True, type='{prefix}ClsVisualizer')\n"
        'val_dataloader = dict(dataset=dict(\n'
        f"    _delete_=True, type='{prefix}MNIST', test_mode=True,\n"
        f"    pipeline=[dict(type='{prefix}PackClsInputs')]))\n",
    )
    dataset = config.val_dataloader.dataset
    assert dataset.split == 'test'
    with DefaultScope.overwrite_default_scope('mmrazor'):
        packed = TRANSFORMS.build(dict(dataset.pipeline[0]))
        shown = VISUALIZERS.build(dict(config.visualizer, name='of_mmcls'))
    assert type(packed).__name__ == 'PackInputs'
    assert type(shown).__name__ == 'UniversalVisualizer'


def test_folder_of_a_config_is_that_of_the_original(tmp_path):
    config, _ = convert_own(
        tmp_path, "model = dict(teacher_ckpt='{{ fileDirname }}/teacher.pth')\n"
    )
    assert config.model.teacher_ckpt == str(tmp_path / 'teacher.pth')


def test_a_validation_keeps_its_settings(tmp_path):
    config, _ = convert_own(
        tmp_path, 'val_cfg = dict(fp16=True)\ntest_cfg = dict(fp16=True)\n'
    )
    assert config.val_cfg == dict(type='mmdckd.CollectiveValLoop', fp16=True)
    assert config.test_cfg == dict(type='mmdckd.CollectiveTestLoop', fp16=True)


def test_a_run_without_validation_stays_one(tmp_path):
    text = 'val_cfg = val_dataloader = val_evaluator = None\n'
    config, _ = convert_own(tmp_path, text)
    assert config.val_cfg is None


def test_an_initialization_without_a_checkpoint_stays(tmp_path):
    config, notes = convert_own(
        tmp_path, "model = dict(init_cfg=[dict(type='Xavier', layer='Linear')])\n"
    )
    assert config.model.init_cfg == [dict(type='Xavier', layer='Linear')]
    assert not any('init_cfg' in note for note in notes)


def test_what_followed_the_student_follows_the_best_one(tmp_path):
    config, _ = convert_own(
        tmp_path,
        'default_hooks = dict(checkpoint=dict(\n'
        "    save_best=['accuracy/top1', 'teacher.accuracy/top5']))\n"
        'custom_hooks = [\n'
        "    dict(type='EarlyStoppingHook', monitor='accuracy/top1'),\n"
        "    dict(type='EarlyStoppingHook', monitor='student.accuracy/top1'),\n"
        "    dict(type='CheckpointHook', save_best='auto')]\n"
        'param_scheduler = dict(\n'
        "    _delete_=True, type='ReduceOnPlateauLR', monitor='accuracy/top1')\n",
    )
    followed = [
        *config.default_hooks.checkpoint.save_best,
        *(hook.monitor for hook in config.custom_hooks[:2]),
        config.custom_hooks[2].save_best,
        config.param_scheduler.monitor,
    ]
    best = 'best/accuracy/top1'
    assert followed == [best, 'teacher/accuracy/top5', best, best, 'auto', best]


def test_a_checkpoint_hook_keeps_its_settings(tmp_path):
    config, _ = convert_own(
        tmp_path,
        'default_hooks = dict(checkpoint=dict(interval=5, max_keep_ckpts=2))\n',
    )
    hook = config.default_hooks.checkpoint
    assert (hook.interval, hook.max_keep_ckpts) == (5, 2)


@pytest.mark.parametrize('key', ['bgr_to_rgb', 'rgb_to_bgr', None])
def test_channels_are_in_the_order_that_they_had(tmp_path, key):
    order = dict(bgr_to_rgb=False, rgb_to_bgr=False) | ({key: True} if key else {})
    config, _ = convert_own(
        tmp_path,
        f'model = dict(teacher=dict(pretrained=True), data_preprocessor=dict({order}))',
    )
    assert config.data_preprocessor.to_rgb is (key is not None)
    # The weights that MMRazor would load last.
    assert config.model.teacher_ckpt and 'pretrained' not in config.model.teacher


def test_a_config_with_classes(tmp_path):
    (tmp_path / 'base_of_lazy.py').write_text(
        "teacher = dict(cfg_path='mmpretrain::resnet/resnet34_8xb32_in1k.py')\n"
    )
    file = tmp_path / 'lazy.py'
    file.write_text("""
from mmengine.config import read_base
from mmrazor.engine import SingleTeacherDistillValLoop
from mmrazor.models.algorithms import SingleTeacherDistill
from mmrazor.models.distillers import ConfigurableDistiller

with read_base():
    from .base_of_lazy import *

model = dict(
    type=SingleTeacherDistill,
    architecture=dict(cfg_path='mmpretrain::resnet/resnet18_8xb32_in1k.py'),
    teacher=dict(**teacher, pretrained=True),
    distiller=dict(type=ConfigurableDistiller))
val_cfg = dict(type=SingleTeacherDistillValLoop)
""")
    config, _ = convert_config(str(file), 2)
    assert config.model.type == 'mmdckd.CollectiveDistill'
    assert config.model.distiller == dict(type='mmdckd.CollectiveDistiller')
    assert config.val_cfg == dict(type='mmdckd.CollectiveValLoop')
    assert config.model.teacher.cfg_path.endswith('resnet34_8xb32_in1k.py')
