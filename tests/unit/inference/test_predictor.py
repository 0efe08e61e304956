# Copyright (c) mmdckd contributors. All rights reserved.
import copy
import json
import shutil
from pathlib import Path

import mmcv
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import MODELS, DefaultScope
from onnx import TensorProto, helper

from helpers.runs import pack, student_scores
from mmdckd.export import export_onnx, export_student
from mmdckd.export.onnx_file import random_images
from mmdckd.inference import Predictor, network
from mmdckd.inference.image_pipeline import ImagePipeline
from mmdckd.inference.predictor import _onnx


@pytest.fixture(scope='module')
def student(trained, tmp_path_factory):
    """The path of an exported student without its ending."""
    out = str(tmp_path_factory.mktemp('student'))
    written = export_student(str(trained.checkpoint), out, 'student1')
    stem = str(Path(out) / 'student1')
    export_onnx(written.config, f'{stem}.onnx')
    return stem


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp('images')
    random = np.random.RandomState(0)
    paths = []
    for index, size in enumerate(((8, 8), (40, 30), (12, 12))):
        paths.append(str(folder / f'{index}.png'))
        mmcv.imwrite(random.randint(0, 256, (*size, 3), np.uint8), paths[-1])
    return paths


@pytest.mark.parametrize(
    'ending, known',
    [('.py', True), ('.pth', True), ('.safetensors', False), ('.onnx', True)],
)
def test_it_says_what_the_student_says_in_the_cohort(
    trained, student, images, ending, known
):
    packed = pack(images, trained.cfg)
    expected = student_scores(trained.model, 'student1', packed, 3)
    predictor = Predictor(student + ending)
    scores = predictor([predictor.read(path) for path in images])
    assert torch.allclose(scores.sum(1), torch.ones(3))
    if ending == '.onnx':
        assert torch.allclose(scores, expected, atol=1e-5)
    else:
        assert torch.equal(scores, expected)
    assert len(scores.unique(dim=0)) == len(images)
    assert predictor.classes == (list('0123456789') if known else None)
    assert predictor.name_of(3) == '3'


def test_onnx_has_the_scores_of_several_labels(student, images, tmp_path):
    """They were those of one label."""
    cfg = Config.fromfile(f'{student}.py')
    head = cfg.model.head
    cfg.model.head = dict(
        type='MultiLabelLinearClsHead',
        num_classes=head.num_classes,
        in_channels=head.in_channels,
    )
    stem = str(tmp_path / 'several')
    shutil.copy(f'{student}.pth', f'{stem}.pth')
    cfg.load_from = f'{stem}.pth'
    cfg.dump(f'{stem}.py')
    export_onnx(f'{stem}.py', f'{stem}.onnx')
    found = []
    for ending in ('pth', 'onnx'):
        predictor = Predictor(f'{stem}.{ending}')
        found.append(predictor([predictor.read(path) for path in images]))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch=st.integers(1, 40), seed=st.integers(0, 99))
def test_onnx_gives_the_logits_of_pytorch_in_any_batch(student, batch, seed):
    images = np.random.RandomState(seed).randint(0, 256, (batch, 3, 12, 12), np.uint8)
    session = onnxruntime.InferenceSession(
        f'{student}.onnx', providers=['CPUExecutionProvider']
    )
    (logits,) = session.run(None, dict(images=images))
    plain = Predictor(f'{student}.pth')
    scores = plain([dict(inputs=torch.from_numpy(i)) for i in images])
    assert logits.shape == (batch, 10)
    np.testing.assert_allclose(torch.from_numpy(logits).softmax(1), scores, atol=1e-5)


def test_classes_of_one_name_have_different_ones(student, tmp_path):
    shutil.copy(f'{student}.py', tmp_path / 'student1.py')
    content = torch.load(f'{student}.pth', weights_only=True)
    content['meta']['dataset_meta'] = dict(classes=['crane', 'dog', 'crane'])
    torch.save(content, tmp_path / 'student1.pth')
    program = onnx.load(f'{student}.onnx')
    for entry in program.metadata_props:
        if entry.key == 'classes':
            entry.value = '["crane", "dog", "crane"]'
    onnx.save(program, str(tmp_path / 'student1.onnx'))
    for ending in ('pth', 'onnx'):
        predictor = Predictor(str(tmp_path / f'student1.{ending}'))
        assert [predictor.name_of(label) for label in (0, 1, 2, 3)] == [
            'crane (0)',
            'dog',
            'crane (2)',
            '3',
        ]


def test_the_onnx_file_describes_itself(student):
    model = onnx.load(f'{student}.onnx')
    onnx.checker.check_model(model, full_check=True)
    (image,) = model.graph.input
    (logits,) = model.graph.output
    assert (image.name, logits.name) == ('images', 'logits')
    shape = [dim.dim_param or dim.dim_value for dim in image.type.tensor_type.shape.dim]
    assert shape == ['batch', 3, 12, 12]
    metadata = {item.key: item.value for item in model.metadata_props}
    assert json.loads(metadata['classes']) == list('0123456789')
    assert not Path(f'{student}.onnx.tmp').exists()


@pytest.mark.parametrize(
    'kind, shape', [('CIFAR100', (32, 32, 3)), ('FashionMNIST', (28, 28))]
)
def test_files_become_what_a_dataset_without_files_has(trained, tmp_path, kind, shape):
    """The export refused them, and the channels of CIFAR were in another order."""
    cfg = copy.deepcopy(trained.cfg)
    pipeline = [dict(type='PackInputs')]
    cfg.test_dataloader.dataset = dict(type=kind, data_root='no', pipeline=pipeline)
    written = export_student(str(trained.checkpoint), str(tmp_path), 'student1', cfg)
    image = np.random.RandomState(0).randint(0, 256, shape, np.uint8)
    mmcv.imwrite(image[..., ::-1] if image.ndim == 3 else image, f'{tmp_path}/x.png')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        expected = Compose(pipeline)(dict(img=image))['inputs']
    predictor = Predictor(written.config)
    assert torch.equal(predictor.read(f'{tmp_path}/x.png')['inputs'], expected)
    images = random_images(predictor.cfg, 2)
    assert images.shape == (2, *expected.shape)
    assert f'# It was tested on {kind}.' in Path(written.config).read_text()


@pytest.mark.slow
def test_shifted_windows_become_onnx(student, tmp_path):
    """Batches of other sizes than the traced one had other logits."""
    cfg = Config.fromfile(f'{student}.py')
    arch = dict(embed_dims=8, depths=[2], num_heads=[2])
    cfg.model.backbone = dict(
        type='SwinTransformer',
        arch=arch,
        img_size=24,
        patch_size=2,
        window_size=4,
        out_indices=(0,),
        pad_small_map=True,
    )
    cfg.model.head.in_channels = 8
    cfg.test_dataloader.dataset.pipeline[1].scale = (24, 24)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        weights = MODELS.build(cfg.model).state_dict()
    torch.save(dict(state_dict=weights), tmp_path / 'swin.pth')
    cfg.load_from = str(tmp_path / 'swin.pth')
    cfg.dump(str(tmp_path / 'swin.py'))
    assert export_onnx(str(tmp_path / 'swin.py'), str(tmp_path / 'swin.onnx')) < 1e-5


def test_a_pipeline_that_leaves_sizes_as_they_are_is_refused(student, tmp_path):
    cfg = Config.fromfile(f'{student}.py')
    cfg.test_dataloader.dataset.pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='PackInputs'),
    ]
    cfg.dump(str(tmp_path / 'free.py'))
    with pytest.raises(ValueError, match='images of one size.*240'):
        export_onnx(str(tmp_path / 'free.py'), str(tmp_path / 'free.onnx'))
    assert not (tmp_path / 'free.onnx').exists()


def test_other_logits_are_refused_and_nothing_is_written(
    student, tmp_path, monkeypatch
):
    loaded, read = [], network.read_checkpoint
    monkeypatch.setattr(
        network, 'read_checkpoint', lambda *args: loaded.append(args) or read(*args)
    )
    monkeypatch.setattr('mmdckd.export.onnx_file.TOLERANCE', -1.0)
    with pytest.raises(ValueError, match='the same logits as ONNX'):
        export_onnx(f'{student}.py', str(tmp_path / 'bad.onnx'))
    assert not list(tmp_path.iterdir())
    assert len(loaded) == 1


def test_missing_packages_are_named(student, tmp_path, monkeypatch):
    monkeypatch.setattr('mmdckd.export.onnx_file._NEEDED', ('onnx', 'nonnx'))
    with pytest.raises(ModuleNotFoundError, match='pip install nonnx'):
        export_onnx(f'{student}.py', str(tmp_path / 'bad.onnx'))


def foreign_onnx(path):
    """A network that something else has written."""
    value = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in 'xy'
    ]
    graph = helper.make_graph(
        [helper.make_node('Relu', ['x'], ['y'])], 'g', value[:1], value[1:]
    )
    onnx.save(helper.make_model(graph, ir_version=8), path)


def test_what_is_no_exported_student_is_refused(student, tmp_path):
    with pytest.raises(ValueError, match='`model`: expected .*ending in'):
        Predictor('student.pkl')
    with pytest.raises(
        FileNotFoundError, match='expected an existing file.*missing.pth'
    ):
        Predictor('missing.pth')
    alone = str(tmp_path / 'alone.pth')
    shutil.copy(f'{student}.pth', alone)
    with pytest.raises(FileNotFoundError, match="its config 'alone.py'"):
        Predictor(alone)
    shutil.copy(f'{student}.py', tmp_path / 'alone.py')
    Predictor(alone)
    content = torch.load(alone, weights_only=True)
    del content['state_dict']['head.fc.weight']
    torch.save(content, alone)
    with pytest.raises(ValueError, match='(?s)Invalid checkpoint: .*head.fc.weight'):
        Predictor(alone)
    (tmp_path / 'alone.onnx').write_text('nothing')
    with pytest.raises(ValueError, match='an ONNX file, got .*alone.onnx'):
        Predictor(str(tmp_path / 'alone.onnx'))
    foreign_onnx(str(tmp_path / 'alone.onnx'))
    with pytest.raises(ValueError, match=r"with \['x'\]"):
        Predictor(str(tmp_path / 'alone.onnx'))


@pytest.mark.parametrize(
    'changes, words',
    [
        (dict(test_dataloader=None), 'expected `test_dataloader.dataset.pipeline`'),
        (dict(load_from=None), 'which names no weights'),
        (
            dict(
                test_dataloader=dict(dataset=dict(pipeline=[dict(type='PackInputs')]))
            ),
            'expected LoadImageFromFile first',
        ),
    ],
)
def test_a_config_that_lacks_something_is_refused(student, tmp_path, changes, words):
    cfg = Config.fromfile(f'{student}.py')
    Config(dict(cfg.to_dict(), **changes)).dump(str(tmp_path / 'cfg.py'))
    with pytest.raises(ValueError, match=words):
        Predictor(str(tmp_path / 'cfg.py'))


@pytest.mark.parametrize('load', [LoadImageFromFile, 'mmdckd.LoadImage'])
def test_a_pipeline_may_begin_with_the_class_or_with_its_replacement(images, load):
    pipeline = [dict(type=load), dict(type='PackInputs')]
    cfg = Config(dict(test_dataloader=dict(dataset=dict(pipeline=pipeline))))
    assert ImagePipeline(cfg).read(images[0])['inputs'].shape == (3, 8, 8)


def test_a_pipeline_has_the_scope_and_the_limit_that_it_is_given(images):
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackCRDInputs')]
    cfg = Config(
        dict(
            default_scope='mmdckd',
            test_dataloader=dict(dataset=dict(pipeline=pipeline)),
        )
    )
    assert ImagePipeline(cfg, 64).read(images[0])['inputs'].shape == (3, 8, 8)
    with pytest.raises(OSError, match='8 x 8 pixels, more than 63'):
        ImagePipeline(cfg, 63).read(images[0])


def test_a_preprocessor_in_the_model_comes_first(student):
    cfg = Config.fromfile(f'{student}.py')
    cfg.model.data_preprocessor = dict(cfg.data_preprocessor, mean=[1.0, 2.0, 3.0])
    model = network.load_network(cfg, f'{student}.pth').model
    assert model.data_preprocessor.mean.flatten().tolist() == [1.0, 2.0, 3.0]
    assert isinstance(cfg.model.data_preprocessor.mean, list)


def test_it_runs_where_it_is_told(student, images, monkeypatch):
    monkeypatch.setattr('mmdckd.inference.predictor.get_device', lambda: 'meta')
    predictor = Predictor(f'{student}.pth', device='cpu')
    assert predictor([predictor.read(images[0])]).shape == (1, 10)


@pytest.mark.parametrize('device, anywhere', [('cpu', False), (None, True)])
def test_onnx_runs_where_it_is_told(tmp_path, monkeypatch, device, anywhere):
    asked = []
    path, providers = str(tmp_path / 'a.onnx'), ['CPUExecutionProvider']
    monkeypatch.setattr(
        onnxruntime, 'get_available_providers', lambda: asked.append(1) or providers
    )
    foreign_onnx(path)
    with pytest.raises(ValueError, match=r"with \['x'\]"):
        _onnx(path, device)
    assert bool(asked) == anywhere


@pytest.mark.parametrize('ending', ['pth', 'safetensors', 'onnx', 'int8.onnx'])
def test_a_name_may_have_dots(tmp_path, ending):
    path = tmp_path / f'net.v1.{ending}'
    path.touch()
    with pytest.raises(FileNotFoundError, match=r"its config 'net\.v1\.py'"):
        Predictor(str(path))
