# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.models.necks import GlobalAveragePooling
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS

from helpers.networks import network
from helpers.runs import PREPROCESSOR, loader
from mmdckd.datasets import LoadImage
from mmdckd.export import plain_config
from mmdckd.registry import METRICS, MODELS, TRANSFORMS

CIFAR = 'mmpretrain::resnet/resnet18_8xb16_cifar10.py'


@MODELS.register_module()
class OurNeck(GlobalAveragePooling):
    pass


@MMPRETRAIN_MODELS.register_module()
class TheirNeck(GlobalAveragePooling):
    pass


@TRANSFORMS.register_module()
class OurTransform:
    pass


@METRICS.register_module()
class OurMetric:
    pass


def run_cfg(architecture=None, **kwargs):
    cfg = dict(
        default_scope='mmpretrain',
        model=dict(architecture=architecture or network()),
        test_dataloader=loader('test'),
        test_evaluator=dict(type='Accuracy', topk=(1, 5)),
    )
    cfg.update(kwargs)
    return Config(cfg)


def with_neck(**neck):
    return dict(network(), neck=neck)


@pytest.mark.parametrize('of_model', [False, True])
@pytest.mark.parametrize('of_run', [False, True])
@pytest.mark.parametrize(
    'architecture',
    [
        dict(cfg_path=CIFAR),
        dict(network(), data_preprocessor=dict(mean=[1.0], std=[2.0])),
        network(),
    ],
)
def test_images_are_preprocessed_as_in_the_run(architecture, of_run, of_model):
    model = dict(
        type='mmdckd.CollectiveDistill',
        architecture=architecture,
        distiller=dict(type='mmdckd.CollectiveDistiller'),
    )
    cfg = Config(dict(default_scope='mmpretrain', model=model))
    if of_model:
        model['data_preprocessor'] = dict(mean=[3.0], std=[4.0])
        cfg.model = model
    if of_run:
        cfg.data_preprocessor = PREPROCESSOR
    plain = plain_config(cfg, 'student0')

    # As the runner builds the model.
    if of_run:
        cfg.model.setdefault('data_preprocessor', PREPROCESSOR)
    plain.model.setdefault('data_preprocessor', plain.get('data_preprocessor'))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        ours = MODELS.build(cfg.model).data_preprocessor
        theirs = MMPRETRAIN_MODELS.build(plain.model).data_preprocessor
    assert type(ours) is type(theirs)
    assert ours._enable_normalize == theirs._enable_normalize
    assert ours.to_rgb == theirs.to_rgb
    if ours._enable_normalize:
        assert ours.mean.tolist() == theirs.mean.tolist()
        assert ours.std.tolist() == theirs.std.tolist()


def test_the_config_of_a_package_is_written_out():
    plain = plain_config(
        run_cfg(dict(cfg_path=CIFAR, backbone=dict(base_channels=8))), 'student2'
    )
    expected = Config.fromfile(
        f'{__import__("mmpretrain").__path__[0]}/.mim/configs/'
        'resnet/resnet18_8xb16_cifar10.py'
    ).model
    expected.backbone.base_channels = 8
    assert plain.model == expected
    assert plain.data_preprocessor.mean == [125.307, 122.961, 113.8575]
    assert plain.default_scope == 'mmpretrain'


@pytest.mark.parametrize(
    'neck, named',
    [
        (dict(type='mmdckd.OurNeck'), 'mmdckd.OurNeck'),
        (dict(type='OurNeck', _scope_='mmdckd'), 'OurNeck'),
        (dict(type='OurNeck', _scope_='mmrazor'), 'OurNeck'),
        (dict(type='mmrazor.ConvModuleConnector'), 'mmrazor.ConvModuleConnector'),
        (dict(type='ConvModuleConnector', _scope_='mmrazor'), 'ConvModuleConnector'),
        (
            dict(type='mmdckd.models.losses.dckd_loss.DCKDLoss'),
            'mmdckd.models.losses.dckd_loss.DCKDLoss',
        ),
        (dict(type=MODELS.get('mmdckd.DCKDLoss')), 'DCKDLoss'),
    ],
)
def test_a_student_of_foreign_parts_is_refused(neck, named):
    with pytest.raises(ValueError) as error:
        plain_config(run_cfg(with_neck(**neck)), 'student0')
    assert '`architecture.neck.type`' in str(error.value)
    assert named in str(error.value)


def test_a_test_pipeline_of_foreign_parts_is_refused():
    cfg = run_cfg()
    cfg.test_dataloader.dataset.pipeline.insert(1, dict(type='mmdckd.OurTransform'))
    with pytest.raises(ValueError) as error:
        plain_config(cfg, 'student0')
    assert "`test_dataloader.dataset.pipeline.1.type`='mmdckd.OurTransform'" in str(
        error.value
    )


@pytest.mark.parametrize(
    'kind',
    [
        dict(type='mmdckd.LoadImage', on_broken='error', max_pixels=10**6),
        dict(type='LoadImage', _scope_='mmdckd', max_aspect=9.0),
        dict(type=LoadImage),
        dict(type='mmdckd.datasets.load_image.LoadImage'),
    ],
)
def test_images_are_loaded_as_mmpretrain_does(kind):
    cfg = run_cfg()
    cfg.test_dataloader.dataset.pipeline = [
        dict(kind, color_type='grayscale'),
        dict(type='PackInputs'),
    ]
    pipeline = plain_config(cfg, 'student0').test_dataloader.dataset.pipeline
    assert pipeline == [
        dict(type='LoadImageFromFile', color_type='grayscale'),
        dict(type='PackInputs'),
    ]


def test_a_dataset_of_mmpretrain_is_kept():
    cfg = run_cfg()
    cfg.test_dataloader.dataset.update(
        _scope_='mmpretrain', type='ImageNet', data_root='a/folder'
    )
    plain = plain_config(cfg, 'student0')
    cfg.test_dataloader.dataset.pop('_scope_')
    assert plain.test_dataloader == cfg.test_dataloader
    assert plain.test_cfg == dict()
    assert plain.test_evaluator == [dict(type='Accuracy', topk=(1, 5))]


@pytest.mark.parametrize(
    'scope, kind',
    [('mmpretrain', 'mmdckd.Digits'), ('mmdckd', 'Digits'), ('mmrazor', 'Digits')],
)
def test_a_dataset_of_ours_leaves_a_folder_to_fill_in(scope, kind):
    cfg = run_cfg(default_scope=scope)
    cfg.test_dataloader.dataset.update(
        type=kind,
        pipeline=[
            dict(type='mmpretrain.Resize', scale=12),
            dict(type='mmpretrain.PackInputs'),
        ],
    )
    plain = plain_config(cfg, 'student0', classes=['a', 'b'])
    dataset = plain.test_dataloader.dataset
    assert dataset.type == 'CustomDataset'
    assert dataset.classes == ['a', 'b']
    assert [t.type for t in dataset.pipeline] == [
        'LoadImageFromFile',
        'mmpretrain.Resize',
        'mmpretrain.PackInputs',
    ]
    assert plain.test_dataloader.batch_size == 32


RGB = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(32, 32)),
    dict(type='NumpyToPIL', to_rgb=True),
    dict(type='PILToNumpy'),
]
GRAY = [
    dict(type='LoadImageFromFile', color_type='grayscale'),
    dict(type='Resize', scale=(28, 28)),
]


def part(inner, **kwargs):
    return dict(type='mmdckd.DatasetPart', dataset=inner, **kwargs)


@pytest.mark.parametrize(
    'dataset, loading',
    [
        (part(dict(type='CIFAR10'), part='val'), RGB),
        (part(dict(type='CIFAR100'), rgb=True), RGB[:2]),
        (dict(type='mmdckd.WrongLabels', dataset=dict(type='MNIST'), share=0.1), GRAY),
        (
            dict(
                type='WrongLabels',
                _scope_='mmdckd',
                dataset=part(dict(type='mmpretrain.FashionMNIST'), rgb=True),
                share=0.1,
            ),
            [RGB[0], GRAY[1]],
        ),
        (part(dict(type='mmdckd.Digits')), RGB[:1]),
    ],
)
def test_files_become_what_the_dataset_inside_of_ours_has(dataset, loading):
    """The channels were in another order, or too many, and nothing was resized."""
    cfg = run_cfg()
    packing = [dict(type='mmpretrain.PackInputs')]
    cfg.test_dataloader.dataset = dict(dataset, pipeline=packing)
    found = plain_config(cfg, 'student0').test_dataloader.dataset
    assert found.type == 'CustomDataset'
    assert found.pipeline == loading + packing


def test_metrics_of_ours_are_left_out():
    ours = dict(type='mmdckd.OurMetric')
    theirs = dict(type='SingleLabelMetric')
    plain = plain_config(run_cfg(test_evaluator=[ours, theirs]), 'student0')
    assert plain.test_evaluator == [theirs]
    plain = plain_config(run_cfg(test_evaluator=ours), 'student0')
    assert plain.test_evaluator == [dict(type='Accuracy', topk=(1,))]


def test_validation_tells_how_to_test_where_there_is_no_test():
    cfg = run_cfg(
        test_dataloader=None,
        val_dataloader=loader('val'),
        val_evaluator=dict(type='Accuracy', topk=(2,)),
    )
    plain = plain_config(cfg, 'student0')
    assert plain.test_evaluator == [dict(type='Accuracy', topk=(2,))]
    assert [t.type for t in plain.test_dataloader.dataset.pipeline] == [
        'LoadImageFromFile',
        'Resize',
        'PackInputs',
    ]


@pytest.mark.parametrize(
    'start', ['Pretrained', 'mmengine.model.weight_init.PretrainedInit']
)
def test_scopes_and_starting_weights_are_dropped(start):
    architecture = network()
    architecture['backbone'].update(
        _scope_='mmpretrain', init_cfg=dict(type=start, checkpoint='gone.pth')
    )
    architecture['head'].update(
        loss=dict(type='L1Loss', _scope_='mmdet'),
        init_cfg=dict(type='Normal', layer='Linear', std=0.1),
    )
    expected = network()
    expected['head'].update(
        loss=dict(type='L1Loss', _scope_='mmdet'),
        init_cfg=dict(type='Normal', layer='Linear', std=0.1),
    )
    assert plain_config(run_cfg(architecture), 'student0').model == expected


def test_only_the_imports_it_needs_are_kept():
    module = TheirNeck.__module__
    imports = dict(
        imports=['mmdckd.models', f'{module}.necks', 'some.recorders'],
        allow_failed_imports=False,
    )
    plain = plain_config(
        run_cfg(with_neck(type='TheirNeck'), custom_imports=imports), 'student0'
    )
    assert plain.custom_imports.imports == [f'{module}.necks']
    assert 'custom_imports' not in plain_config(
        run_cfg(custom_imports=imports), 'student0'
    )


def test_a_student_that_the_config_has_not():
    cfg = run_cfg()
    cfg.model = dict(students=dict(main=network()))
    with pytest.raises(ValueError, match="`model.students.peer`.*'peer'"):
        plain_config(cfg, 'peer')
