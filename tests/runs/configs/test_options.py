# Copyright (c) mmdckd contributors. All rights reserved.
"""Every option trains, validates, saves and resumes under the shipped
defaults, `configs/_base_/default_runtime.py` as it is."""

import copy
import inspect
import os.path as osp

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from yapf.yapflib import yapf_api

from helpers.networks import PREPROCESSOR
from helpers.paths import ROOT
from mmdckd import names
from mmdckd.models import losses
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.models.cohorts import StudentCohort
from mmdckd.models.distillers import CollectiveDistiller
from mmdckd.visualization import matrix_figures, style

BASE = ROOT / 'configs' / '_base_'


def network(width, depth=8, **head):
    """The smallest of the CRD networks, narrow."""
    return dict(
        type='ImageClassifier',
        backbone=dict(
            type='mmdckd.CIFARResNet',
            depth=depth,
            stem_channels=width,
            base_channels=width,
        ),
        neck=dict(type='GlobalAveragePooling'),
        head={
            'type': 'LinearClsHead',
            'num_classes': 10,
            'in_channels': 4 * width,
            **head,
        },
    )


TINY = network(2)
TEACHER = network(4)
HEAD = dict(type='ModuleOutputs', source='head.fc')
POOLED = dict(type='ModuleOutputs', source='neck.gap')


def collective(**parts):
    return dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses={
            name: dict(part, type=f'mmdckd.{part["type"]}')
            for name, part in parts.items()
        },
    )


def dckd(**kwargs):
    return dict(type='DCKDLoss', **kwargs)


MIMIC = dict(
    student_recorders=dict(pooled=POOLED, logits=HEAD),
    teacher_recorders=dict(pooled=POOLED, logits=HEAD),
    connectors=dict(
        wider=dict(type='ConvModuleConnector', in_channel=8, out_channel=16)
    ),
    distill_losses=dict(
        loss_mimic=dict(type='L2Loss'),
        loss_kl=dict(type='KLDivergence', students=['student1']),
    ),
    loss_forward_mappings=dict(
        loss_mimic=dict(
            s_feature=dict(recorder='pooled', from_student=True, connector='wider'),
            t_feature=dict(recorder='pooled', from_student=False),
        ),
        loss_kl=dict(
            preds_S=dict(recorder='logits', from_student=True),
            preds_T=dict(recorder='logits', from_student=False),
        ),
    ),
)
DELIVERY = dict(
    pooled=dict(
        type='MethodOutputs',
        max_keep_data=1,
        method_path='mmpretrain.models.necks.gap.GlobalAveragePooling.forward',
    )
)
MAPS = dict(maps=dict(type='ModuleOutputs', source='backbone'))
WEIGHTED = dict(type='weighted', weights=[1.0, 2.0])

#: What a case changes of the model, or of the run.
CASES = dict(
    members=dict(
        model=dict(
            architecture=None,
            num_students=None,
            students=dict(_x=TINY, wide=TEACHER),
            teacher=[TEACHER, TEACHER],
            data_preprocessor=PREPROCESSOR,
            lagged_peers=dict(momentum=0.5, interval=2),
            module_inplace=False,
            channels_last=True,
        )
    ),
    views=dict(model=dict(views='independent', memory='checkpoint')),
    finished=dict(model=dict(finished_peers=[TEACHER])),
    folds=dict(
        model=dict(num_students=3, folds=dict(num_folds=2, graduate='student2')),
        custom_hooks=[dict(type='mmdckd.FoldsHook')],
    ),
    trained_teacher=dict(
        model=dict(teacher=TEACHER, teacher_trainable=True, teacher_norm_eval=False)
    ),
    files=dict(
        files=True,
        model=dict(cuda_graphs=True, channels_last=False, check_finite_every=2),
    ),
    connectors_alone=dict(
        model=dict(
            student_trainable=False,
            calculate_student_loss=False,
            distiller=dict(type='mmdckd.CollectiveDistiller', **MIMIC),
        )
    ),
    mmrazor=dict(
        model=dict(
            distiller=dict(
                type='mmdckd.CollectiveDistiller',
                student_distiller=dict(type='ConfigurableDistiller'),
                student_logits=HEAD,
                teacher_logits=HEAD,
                init_cfg=dict(type='Normal', layer='Linear', std=0.1),
                collective_losses=collective(loss_a=dckd())['collective_losses'],
                **MIMIC,
            )
        )
    ),
    deliveries=dict(
        model=dict(
            teacher=network(2, depth=14),
            distiller=dict(
                type='mmdckd.CollectiveDistiller',
                distill_deliveries=DELIVERY,
                collective_losses=collective(loss_a=dckd())['collective_losses'],
            ),
        )
    ),
    several_labels=dict(
        model=dict(
            architecture=network(2, type='MultiLabelLinearClsHead'),
            teacher=network(4, type='MultiLabelLinearClsHead'),
            task='multi_label',
            distiller=collective(
                loss_a=dckd(collector='max'), loss_b=dckd(collector=WEIGHTED)
            ),
        ),
        val_evaluator=dict(type='mmpretrain.MultiLabelMetric'),
    ),
    collectors=dict(
        model=dict(
            teacher=[TEACHER, TEACHER],
            distiller=collective(
                **{
                    f'loss_{name}': dckd(
                        collector=dict(type=name, include_self=True),
                        teacher_collector=name,
                    )
                    for name in (
                        'mean',
                        'max',
                        'logit_mean',
                        'min_logit',
                        'naive',
                        'linear',
                        'confidence',
                        'cross_entropy',
                    )
                },
                loss_weighted=dckd(collector=WEIGHTED),
                loss_general=dckd(
                    collector=dict(
                        type='general', include_self=True, include_teacher=True
                    )
                ),
            ),
        ),
        custom_hooks=[dict(type='mmdckd.MeasureErrorsHook')],
    ),
    losses=dict(
        model=dict(
            distiller=dict(
                student_recorders=MAPS,
                teacher_recorders=MAPS,
                **collective(
                    loss_dckd=dckd(
                        alpha=0.5,
                        beta=2.0,
                        gamma=0.2,
                        tau=2.0,
                        correlation='non_target',
                        standardize=True,
                        ramp=dict(end=2, terms=['collective']),
                    ),
                    loss_gated=dict(
                        type='GatedEnsembleLoss',
                        num_students=2,
                        num_classes=10,
                        loss_weight=0.5,
                        tau=2.0,
                    ),
                    loss_dkd=dict(
                        type='CohortDKDLoss',
                        alpha=0.5,
                        beta=2.0,
                        tau=2.0,
                        standardize=True,
                        ramp=dict(end=2, kind='linear'),
                    ),
                    loss_dist=dict(
                        type='CohortDISTLoss',
                        inter_loss_weight=1.0,
                        intra_loss_weight=1.0,
                        tau=1.0,
                        standardize=True,
                        ramp=dict(end=3, by_epoch=False),
                    ),
                    loss_mlkd=dict(
                        type='MLKDLoss',
                        instance_weight=0.5,
                        batch_weight=0.5,
                        class_weight=0.5,
                        temperatures=[2.0, 4.0],
                        standardize=True,
                        ramp=dict(end=2),
                    ),
                    loss_wkd=dict(
                        type='WKDLoss',
                        target_weight=0.5,
                        transport_weight=3.0,
                        tau=3.0,
                        cost=None,
                        sharpness=2.0,
                        regularization=0.1,
                        num_iters=5,
                        ramp=dict(end=2),
                    ),
                    loss_maps=dict(
                        type='RelationMapLoss', alpha=1.0, beta=1.0, recorder='maps'
                    ),
                ),
            )
        )
    ),
)

#: What a config does not give, but the algorithm.
INTERNAL = {CollectiveDistiller: {'student_names', 'task'}, StudentCohort: {'key'}}


def config(work_dir, case, tmp_path):
    cfg = Config.fromfile(BASE / 'default_runtime.py')
    data = Config.fromfile(BASE / 'datasets' / 'digits.py')
    for split, count in dict(train=20, val=40).items():
        loader = data[f'{split}_dataloader']
        loader.dataset.indices = count  # so that all ten digits are there
        loader.batch_size = count // 2
    cfg.merge_from_dict(
        {
            key: data[key]
            for key in ('train_dataloader', 'val_dataloader', 'val_evaluator')
        }
    )
    cfg.merge_from_dict(
        dict(
            work_dir=str(work_dir),
            experiment_name=osp.basename(str(work_dir)),
            train_cfg=dict(by_epoch=True, max_epochs=2),
            val_cfg=dict(type='mmdckd.CollectiveValLoop'),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        )
    )
    model = dict(
        type='mmdckd.CollectiveDistill',
        teacher=TEACHER,
        allow_random_teacher=True,
        architecture=TINY,
        num_students=2,
        data_preprocessor=PREPROCESSOR,
        distiller=collective(loss_dckd=dckd()),
    )
    model.update(case.get('model', {}))
    if case.get('files'):
        model.update(from_files(tmp_path))
    cfg.model = copy.deepcopy(model)
    if model.get('views') == 'independent':
        pipeline = cfg.train_dataloader.dataset.pipeline
        cfg.train_dataloader.dataset.pipeline = [
            dict(type='mmpretrain.MultiView', num_views=2, transforms=[pipeline[:-1]]),
            pipeline[-1],
        ]
    for key in ('val_evaluator', 'custom_hooks'):
        if key in case:
            cfg[key] = case[key]
    return cfg


def from_files(folder):
    """A teacher's weights, and those that the cohort starts from."""
    torch.manual_seed(0)
    start = CollectiveDistill(
        architecture=TINY,
        num_students=2,
        teacher=TEACHER,
        allow_random_teacher=True,
        data_preprocessor=PREPROCESSOR,
        distiller=collective(loss_dckd=dckd()),
    )
    start.init_weights()
    paths = {}
    for name, module in dict(teacher=start.teachers[0].model, start=start).items():
        paths[name] = str(folder / f'{name}.pth')
        torch.save(dict(state_dict=module.state_dict()), paths[name])
    return dict(
        teacher_ckpt=paths['teacher'],
        allow_random_teacher=False,
        init_cfg=dict(type='Pretrained', checkpoint=paths['start']),
    )


@pytest.fixture
def quick(monkeypatch):
    """Without yapf, and without the figures, which one case draws."""

    def quick(figures):
        monkeypatch.setattr(yapf_api, 'FormatCode', lambda text, **_: (text, True))
        if not figures:
            monkeypatch.setattr(
                matrix_figures, 'draw_correlations', lambda arrays: None
            )
            monkeypatch.setattr(
                style, 'to_image', lambda _: np.zeros((4, 4, 3), np.uint8)
            )

    return quick


@pytest.mark.parametrize('case', CASES)
def test_options_under_the_shipped_defaults(case, tmp_path, quick):
    quick(figures=case == 'members')
    case = CASES[case]
    runner = Runner.from_cfg(config(tmp_path / 'run', case, tmp_path))
    runner.train()
    logged = runner.message_hub.log_scalars
    model = runner.model
    metric = 'accuracy/top1'
    if 'val_evaluator' in case:
        metric = 'multi-label/precision'
    for member in (
        *model.cohort.names,
        names.ENSEMBLE,
        names.BEST,
        *model.teacher_names,
    ):
        assert f'val/{names.metric_name(member, metric)}' in logged
    found = [names.parse_loss(key) for key in logged]
    with_loss = {each.student for each in found if each}
    assert set(model.cohort.names) <= with_loss

    cfg = config(tmp_path / 'resumed', case, tmp_path)
    cfg.update(load_from=str(tmp_path / 'run' / 'epoch_1.pth'), resume=True)
    resumed = Runner.from_cfg(cfg)
    resumed.train()
    assert resumed.epoch == 2
    expected = model.state_dict()
    assert resumed.model.state_dict().keys() == expected.keys()
    for key, value in resumed.model.state_dict().items():
        assert torch.equal(value, expected[key]), key
    assert resumed.message_hub.log_scalars.keys() >= {
        key for key in logged if key.startswith(('train/', 'val/'))
    }


def test_every_option_is_in_a_case():
    """An option that is new has to be put into a case."""
    given = {}

    def look(value):
        if isinstance(value, dict):
            kind = str(value.get('type', '')).split('.')[-1]
            given.setdefault(kind, set()).update(value)
            for each in value.values():
                look(each)
        elif isinstance(value, list):
            for each in value:
                look(each)

    for case in CASES.values():
        look(dict(case.get('model', {}), type='CollectiveDistill'))
    given['CollectiveDistill'] |= {
        'teacher',
        'architecture',
        'num_students',
        'allow_random_teacher',
        'teacher_ckpt',
        'init_cfg',
        'parallel',
    }  # those of the base, of `from_files`, and of tests/runs/distributed
    given['StudentCohort'] = given['CollectiveDistill']
    kinds = [CollectiveDistill, StudentCohort, CollectiveDistiller] + [
        loss
        for name, loss in vars(losses).items()
        if name.endswith('Loss') and not inspect.isabstract(loss)
    ]
    for kind in kinds:
        options = set(inspect.signature(kind).parameters)
        tried = given.get(kind.__name__, set())
        missing = options - INTERNAL.get(kind, set()) - tried
        assert not missing, (kind.__name__, missing)
