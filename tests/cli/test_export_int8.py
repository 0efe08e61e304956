# Copyright (c) mmdckd contributors. All rights reserved.
"""`mmdckd export --int8`: what the file holds, predicts, and is said of it."""

import argparse
import io
import re
from contextlib import redirect_stdout

import mmcv
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from mmengine.config import Config
from mmpretrain.datasets import cifar
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from helpers.networks import network
from helpers.runs import loader, run_config, train
from mmdckd.cli import export as export_command
from mmdckd.cli.export import main
from mmdckd.datasets import Digits
from mmdckd.export import export_int8, labeled_images, measuring
from mmdckd.export.cohort_checkpoint import Cohort
from mmdckd.export.int8 import CALIBRATION_IMAGES, calibration_images
from mmdckd.export.labeled_images import FolderImages, RunImages
from mmdckd.inference import Predictor

#: The run of `trained` tests on them.
TESTED = 40


def export(*arguments):
    main([str(argument) for argument in arguments])


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
    """Digits in folders of their classes."""
    root = tmp_path_factory.mktemp('digits')
    for split, count in dict(train=160, test=TESTED).items():
        for index, item in enumerate(Digits(split=split, indices=count)):
            path = root / split / str(item['gt_label']) / f'{index:03}.png'
            mmcv.imwrite(item['img'], str(path))
    return root


@pytest.fixture(scope='module')
def exported(trained, digits, tmp_path_factory):
    """The path of a student without its ending, and what was printed."""
    out = tmp_path_factory.mktemp('int8')
    with redirect_stdout(io.StringIO()) as printed:
        export(
            trained.checkpoint,
            *('--student', 'student1', '--out', out),
            *('--int8', '--calibrate', digits / 'train'),
        )
    return str(out / 'student1'), printed.getvalue()


def packed(stem, folder):
    """Image files as the network takes them, and their labels."""
    predictor = Predictor(f'{stem}.pth')
    paths = sorted(folder.rglob('*.png'))
    images = [predictor.read(str(path))['inputs'].numpy() for path in paths]
    return np.stack(images), np.array([int(path.parent.name) for path in paths])


def logits_of(path, images):
    options = onnxruntime.SessionOptions()
    # As `mmdckd predict` does; see there.
    options.add_session_config_entry('session.x64quantprecision', '1')
    session = onnxruntime.InferenceSession(
        path, options, providers=['CPUExecutionProvider']
    )
    return session.run(None, dict(images=images))[0]


def constants(model):
    return {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}


def weights_in(model):
    """Convolution or product to its integers, their scales and the axis."""
    values = constants(model)
    dequantized = {
        node.output[0]: node
        for node in model.graph.node
        if node.op_type == 'DequantizeLinear'
    }
    for node in model.graph.node:
        if node.op_type not in ('Conv', 'Gemm', 'MatMul'):
            continue
        source = dequantized[node.input[1]]
        if source.input[0] in values:
            axis = {a.name: a.i for a in source.attribute}.get('axis')
            yield node, *(values[name] for name in source.input), axis


def test_weights_are_int8_with_a_scale_for_each_channel(exported):
    """Held to the rounding of the float weights."""
    stem, _ = exported
    model = onnx.load(f'{stem}.int8.onnx')
    onnx.checker.check_model(model, full_check=True)
    plain = constants(onnx.load(f'{stem}.onnx'))
    found = list(weights_in(model))
    assert len(found) == 21  # the convolutions of a ResNet-18, and the head
    for node, integers, scales, zeros, axis in found:
        assert integers.dtype == np.int8 and not zeros.any()
        weight = plain[node.input[1].replace('_DequantizeLinear_Output', '')]
        assert integers.shape == weight.shape
        assert scales.shape == (weight.shape[axis],) and axis == 0
        others = tuple(range(1, weight.ndim))
        np.testing.assert_allclose(scales, abs(weight).max(others) / 127, rtol=1e-5)
        shape = (-1,) + (1,) * (weight.ndim - 1)
        expected = np.rint(weight / scales.reshape(shape))
        assert abs(integers - expected).max() <= 1  # of those between two integers
        assert (integers == expected).mean() > 0.999
    assert len({float(s) for _, _, scales, _, _ in found for s in scales}) > 50


def test_ranges_are_those_of_the_calibration_images(exported, digits):
    """Of the input of the first convolution, known without the network."""
    stem, _ = exported
    model = onnx.load(f'{stem}.int8.onnx')
    values = constants(model)
    images, _ = packed(stem, digits / 'train')
    cfg = Config.fromfile(f'{stem}.py').data_preprocessor
    mean, std = (np.array(cfg[key]).reshape(3, 1, 1) for key in ('mean', 'std'))
    normal = (images[:, ::-1] - mean) / std
    first = next(n for n in model.graph.node if n.op_type == 'QuantizeLinear')
    scale, zero = (values[name] for name in first.input[1:])
    low, high = min(normal.min(), 0), max(normal.max(), 0)
    assert zero.dtype == np.uint8
    assert scale == pytest.approx((high - low) / 255, rel=1e-4)
    assert int(zero) == pytest.approx(-low / scale, abs=0.51)


def test_predictions_are_those_of_a_simulation(exported, digits):
    """ONNX's reference implementation computes in float what integers stand for."""
    stem, _ = exported
    images, _ = packed(stem, digits / 'test')
    path = f'{stem}.int8.onnx'
    simulated = ReferenceEvaluator(path).run(None, dict(images=images[:20]))[0]
    found = logits_of(path, images[:20])
    # A sum that lies between two integers may be rounded to either.
    np.testing.assert_allclose(found, simulated, atol=0.02 * abs(simulated).max())


def test_predict_gives_the_scores_of_these_logits(exported, digits):
    """On processors without VNNI, onnxruntime's default gives others."""
    stem, _ = exported
    images, _ = packed(stem, digits / 'test')
    scores = Predictor(f'{stem}.int8.onnx', device='cpu')(
        [dict(inputs=torch.from_numpy(image)) for image in images]
    )
    expected = torch.from_numpy(logits_of(f'{stem}.int8.onnx', images)).softmax(1)
    torch.testing.assert_close(scores, expected)


def test_predictions_are_near_those_of_float_in_any_batch(exported, digits):
    stem, _ = exported
    images, _ = packed(stem, digits / 'test')
    plain = logits_of(f'{stem}.onnx', images)
    found = logits_of(f'{stem}.int8.onnx', images)
    assert abs(found - plain).max() < 0.1 * abs(plain).max()
    assert not np.array_equal(found, plain)
    for size in (1, 3):
        np.testing.assert_array_equal(
            logits_of(f'{stem}.int8.onnx', images[:size]), found[:size]
        )


def test_the_table_is_what_another_computation_gives(exported, digits):
    stem, printed = exported
    images, labels = packed(stem, digits / 'test')
    rows = re.findall(
        r'^(PyTorch|ONNX|INT8) +(\S+) % +(\S+) +(\S+) ms +(\S+)', printed, re.M
    )
    assert [row[0] for row in rows] == ['PyTorch', 'ONNX', 'INT8']
    predictor = Predictor(f'{stem}.pth')
    scores = predictor([dict(inputs=torch.from_numpy(image)) for image in images])
    predicted = [
        scores.numpy(),
        logits_of(f'{stem}.onnx', images),
        logits_of(f'{stem}.int8.onnx', images),
    ]
    for row, each, ending in zip(rows, predicted, ('pth', 'onnx', 'int8.onnx')):
        top1 = 100 * (each.argmax(1) == labels).mean()
        assert 10 < top1 and float(row[1]) == pytest.approx(top1, abs=0.005)
        with open(f'{stem}.{ending}', 'rb') as file:
            assert int(row[2].replace(',', '')) == len(file.read())
        ratio = float(row[3]) / float(rows[0][3])
        assert float(row[4]) == pytest.approx(ratio, abs=0.01)
    assert f'top-1 on {TESTED} test images of the run' in printed


def test_predict_takes_the_int8_file(exported, digits):
    stem, _ = exported
    (path, *_) = sorted((digits / 'test').rglob('*.png'))
    predictor = Predictor(f'{stem}.int8.onnx')
    assert predictor.classes == list('0123456789')
    image = predictor.read(str(path))
    logits = logits_of(f'{stem}.int8.onnx', image['inputs'].numpy()[None])
    torch.testing.assert_close(
        predictor([image]), torch.from_numpy(logits).softmax(1), rtol=0, atol=1e-6
    )


def test_a_labeled_folder_takes_the_place_of_the_runs_images(
    trained, digits, tmp_path, monkeypatch, capsys
):
    """A loss of more than a point is warned of; the files are measured in turns."""
    asked = []
    monkeypatch.setattr(
        measuring,
        '_latencies',
        lambda paths: asked.append(paths) or dict.fromkeys(paths, 1.0),
    )
    monkeypatch.setattr('mmdckd.export.export_onnx', lambda *_: 0.0)
    monkeypatch.setattr('mmdckd.export.export_int8', lambda *_: None)
    accuracies = iter([90.0, 90.0, 88.5])
    monkeypatch.setattr(
        measuring,
        '_accuracies',
        lambda paths, images: (
            asked.append(images) or {p: next(accuracies) for p in paths}
        ),
    )
    for name in ('student0.onnx', 'student0.int8.onnx'):
        (tmp_path / name).write_text('')
    export(
        trained.checkpoint,
        *('--student', 'student0', '--out', tmp_path),
        *('--int8', '--calibrate', digits / 'train', '--test', digits / 'test'),
    )
    printed = capsys.readouterr()
    assert 'warning: INT8 loses 1.50 points' in printed.err
    assert f'top-1 on {TESTED} images in {digits / "test"}' in printed.out
    assert len(asked) == 2


def test_calibration_images_are_chosen_by_a_seed(digits, tmp_path):
    assert len(calibration_images(str(digits / 'train'))) == 160
    for index in range(CALIBRATION_IMAGES + 40):
        mmcv.imwrite(
            np.full((4, 4, 3), index % 256, np.uint8), str(tmp_path / f'{index}.png')
        )
    chosen = calibration_images(str(tmp_path))
    assert len(set(chosen)) == CALIBRATION_IMAGES
    assert chosen == calibration_images(str(tmp_path))
    # The first files of a folder can be of a few classes only.
    first = sorted(str(path) for path in tmp_path.iterdir())[:CALIBRATION_IMAGES]
    assert len(set(chosen) - set(first)) > 20


@pytest.mark.parametrize(
    'folders, words',
    [
        ({'0': 1, 'seven': 1}, "got 'seven'"),
        ({'': 1}, 'images without one'),
        ({'0': 0}, 'expected images'),
    ],
)
def test_a_labeled_folder_with_other_classes_is_refused(
    trained, digits, tmp_path, folders, words
):
    (image, *_) = sorted((digits / 'test').rglob('*.png'))
    for name, count in folders.items():
        (tmp_path / 'in' / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            (tmp_path / 'in' / name / f'{index}.png').write_bytes(image.read_bytes())
    with pytest.raises(SystemExit, match=f'Invalid `--test`.*{words}'):
        export(
            trained.checkpoint,
            *('--out', tmp_path / 'out', '--int8', '--calibrate', digits / 'train'),
            *('--test', tmp_path / 'in'),
        )
    assert not (tmp_path / 'out').exists()


class Pixels(torch.nn.Sequential):
    def forward(self, images):
        return super().forward(images / 255)


@pytest.mark.slow
def test_a_network_with_group_normalization(exported, digits, tmp_path):
    """onnxruntime failed to quantize all of its operators."""
    torch.manual_seed(0)
    network = Pixels(
        torch.nn.Conv2d(3, 8, 3, 2),
        torch.nn.GroupNorm(2, 8),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3),
        torch.nn.GroupNorm(2, 8),
        torch.nn.Flatten(),
        torch.nn.Linear(72, 10),
    ).eval()
    images, _ = packed(exported[0], digits / 'test')
    torch.onnx.export(
        network,
        (torch.from_numpy(images[:2]),),
        str(tmp_path / 'float.onnx'),
        input_names=['images'],
        dynamic_shapes=({0: torch.export.Dim('batch')},),
        dynamo=True,
        external_data=False,
    )
    paths = [tmp_path / name for name in ('float.onnx', 'int8.onnx')]
    files = sorted(map(str, (digits / 'train').rglob('*.png')))[:32]
    export_int8(f'{exported[0]}.py', *map(str, paths), files)
    plain, quantized = (logits_of(path, images) for path in paths)
    assert abs(plain - quantized).mean() < 0.1 * abs(plain).mean()
    quantized_types = [node.op_type for node, *_ in weights_in(onnx.load(paths[1]))]
    assert sorted(quantized_types) == ['Conv', 'Conv', 'Gemm']


def test_the_runs_images_are_read_with_its_labels(trained):
    images = list(RunImages(trained.cfg, False).read(None))
    expected = Digits(split='test', indices=TESTED)
    assert [label for _, label in images] == [item['gt_label'] for item in expected]


class Paths:
    """A pipeline that leaves an image unread."""

    read = staticmethod(str)


def test_labels_follow_the_order_of_the_classes(tmp_path):
    for name in ('cat', 'dog'):
        mmcv.imwrite(np.zeros((4, 4, 3), np.uint8), f'{tmp_path}/{name}/0.png')
    found = FolderImages(str(tmp_path), ['dog', 'cat']).read(Paths)
    assert dict(found) == {f'{tmp_path}/cat/0.png': 1, f'{tmp_path}/dog/0.png': 0}


def test_of_many_labeled_images_some_of_all_classes_count(digits, monkeypatch):
    monkeypatch.setattr(labeled_images, 'MOST_IMAGES', 20)
    folder, classes = str(digits / 'test'), list('0123456789')
    chosen, again = (list(FolderImages(folder, classes).read(Paths)) for _ in range(2))
    assert len(set(chosen)) == 20 and chosen == again == sorted(chosen)
    # The first files are of the first classes.
    first = sorted(str(path) for path in (digits / 'test').rglob('*.png'))[:20]
    assert len([path for path, _ in chosen if path not in first]) > 5


def test_latencies_are_those_of_one_thread(exported, monkeypatch):
    stem, _ = exported
    threads, Plain = [], measuring.Predictor

    def load(path, device):
        threads.append(torch.get_num_threads())
        return Plain(path, device=device)

    before = torch.get_num_threads()
    monkeypatch.setattr(measuring, 'Predictor', load)
    monkeypatch.setattr(measuring, '_ROUNDS', 1)
    torch.set_num_threads(2)
    try:
        (found,) = measuring.measure([f'{stem}.pth'], None)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert threads == [1] and found.seconds > 0


def test_a_run_that_names_no_dataset_is_refused():
    cfg = Config(dict(default_scope='mmpretrain', val_dataloader=[]))
    with pytest.raises(ValueError, match='no `test_dataloader.dataset`'):
        RunImages(cfg, False)


@pytest.mark.parametrize(
    'dataset, words',
    [
        (dict(type='mmdckd.ImageFolder', data_root='gone'), 'cannot be read'),
        (dict(type='CIFAR100', data_root='gone'), 'cannot be read'),
        (dict(type='FashionMNIST', data_root='gone'), 'cannot be read'),
        (dict(type='CustomDataset', data_root='gone'), 'cannot be read'),
        (dict(type='ImageNet', _scope_='mmpretrain', data_root='gone'), 'be read'),
        (dict(type='BaseDataset', ann_file='a.pkl'), 'alone'),
        (dict(type='os.system', command='true'), 'type.*os.system'),
    ],
)
def test_a_checkpoint_builds_no_dataset_that_could_run_code(trained, dataset, words):
    cfg = Config(trained.cfg.to_dict())
    pipeline = cfg.test_dataloader.dataset.pipeline
    cfg.test_dataloader.dataset = dict(dataset, pipeline=pipeline)
    with pytest.raises(ValueError, match=words):
        RunImages(cfg, False)


@pytest.mark.parametrize('kind', ['mmdckd.DatasetPart', 'mmpretrain.CIFAR10'])
def test_missing_images_are_not_downloaded(trained, kind, monkeypatch):
    monkeypatch.setattr(
        cifar, 'download_and_extract_archive', lambda *args, **kwargs: pytest.fail()
    )
    cfg = Config(trained.cfg.to_dict())
    dataset = dict(type='CIFAR10', data_root='gone')
    if kind == 'mmdckd.DatasetPart':
        dataset = dict(dataset=dataset)
    cfg.test_dataloader.dataset = dict(dataset, type=kind)
    with pytest.raises(ValueError, match='cannot be read'):
        RunImages(cfg, True)


def test_without_labeled_images_a_warning_says_why(trained, monkeypatch, capsys):
    """And the table has no accuracy: size and latency are measured all the same."""
    cfg = Config(trained.cfg.to_dict())
    cfg.test_dataloader.dataset = dict(type='mmdckd.ImageFolder', data_root='gone')
    args = argparse.Namespace(run='run', test=None)
    images = export_command.find_images(args, Cohort(['a'], None, cfg), None)
    assert images is None
    printed = capsys.readouterr().err
    assert re.match('warning: the accuracy will not be measured: .*gone', printed)
    assert 'with --test' in printed
    monkeypatch.setattr(
        measuring, 'measure', lambda *_: [measuring.Measured('f', None, 2000, 0.5)] * 3
    )
    export_command.compare(['f'] * 3, images)
    printed = capsys.readouterr()
    assert re.search(r'^INT8 +- +2,000 +500.000 ms +1.00$', printed.out, re.M)
    assert not printed.err


def gap(backbone, channels):
    return dict(
        type='ImageClassifier',
        backbone=backbone,
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=channels),
    )


@pytest.fixture(scope='module')
def mixed(tmp_path_factory):
    """A ResNet, a MobileNetV2 and a transformer, trained on the digits."""
    size = dict(type='Resize', scale=(32, 32))
    pipeline = [size, dict(type='PackInputs')]
    loaders = {
        f'{split}_dataloader': loader(split) for split in ('train', 'val', 'test')
    }
    for each in loaders.values():
        each['dataset']['pipeline'] = pipeline
    arch = dict(embed_dims=48, num_layers=2, num_heads=3, feedforward_channels=96)
    students = dict(
        resnet=network(18, 8),
        mobilenet=gap(dict(type='MobileNetV2', widen_factor=0.25), 1280),
        vit=dict(
            type='ImageClassifier',
            backbone=dict(
                type='VisionTransformer', arch=arch, img_size=32, patch_size=8
            ),
            head=dict(type='VisionTransformerClsHead', num_classes=10, in_channels=48),
        ),
    )
    cfg = run_config(
        tmp_path_factory.mktemp('mixed'),
        dict(students=students),
        # Until few predictions are near ties.
        train_cfg=dict(by_epoch=True, max_epochs=20, val_interval=20),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.002)),
        param_scheduler=[dict(type='CosineAnnealingLR', T_max=20, end=20)],
        **loaders,
    )
    train(cfg)
    return cfg.work_dir


@pytest.mark.slow
def test_networks_of_three_kinds_keep_what_they_know(mixed, digits, tmp_path, capsys):
    export(
        mixed,
        '--student',
        'all',
        '--out',
        tmp_path,
        '--int8',
        '--calibrate',
        digits / 'train',
    )
    printed = capsys.readouterr().out
    top1 = re.findall(r'^(?:PyTorch|ONNX|INT8) +(\S+) %', printed, re.M)
    assert len(top1) == 9
    for name in ('resnet', 'mobilenet', 'vit'):
        stem = str(tmp_path / name)
        images, _ = packed(stem, digits / 'test')
        plain = logits_of(f'{stem}.onnx', images)
        found = logits_of(f'{stem}.int8.onnx', images)
        agreement = (plain.argmax(1) == found.argmax(1)).mean()
        assert agreement > 0.9, (name, agreement)
        assert len(list(weights_in(onnx.load(f'{stem}.int8.onnx')))) > 5, name
        kept = [
            node.op_type
            for node in onnx.load(f'{stem}.int8.onnx').graph.node
            if node.op_type in ('LayerNormalization', 'Softmax')
        ]
        assert bool(kept) == (name == 'vit')
