# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs by MMEngine's runner on the device."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain import get_model
from small import TOLERANCES, losses, network, quick, run

from helpers.runs import cohort_of, loader, train
from mmdckd.engine.optimizers.cpu_amp import amp_type
from mmdckd.export import export_onnx, export_student

pytestmark = pytest.mark.gpu


@pytest.fixture(scope='module')
def plain(tmp_path_factory):
    """A run of four steps in float32."""
    return train(quick(tmp_path_factory.mktemp('plain')))


@pytest.mark.parametrize('dtype', ['float16', 'bfloat16'])
def test_mixed_precision(device, compare, plain, tmp_path, dtype):
    cfg = quick(tmp_path, custom_hooks=[dict(type='mmdckd.LossScaleHook')])
    cfg.optim_wrapper = dict(type=amp_type(), dtype=dtype, **cfg.optim_wrapper)
    runner = train(cfg)
    assert next(runner.model.parameters()).dtype == torch.float32
    names, ours = losses(runner)
    their_names, expected = losses(plain)
    assert names == their_names and ours.shape == expected.shape
    compare(f'AMP {dtype}: losses', ours, expected, TOLERANCES[f'amp_{dtype}'])
    assert not torch.equal(ours, expected)
    scalars = runner.message_hub.log_scalars
    assert scalars['train/amp/scale'].current() > 0


@pytest.fixture(scope='module')
def validated(tmp_path_factory):
    """Two epochs, each validated, with all that looks at a validation."""
    cfg = run(
        tmp_path_factory.mktemp('validated'),
        custom_hooks=[
            dict(type='mmdckd.CohortSummaryHook'),
            dict(type='mmdckd.CohortStatisticsHook'),
            dict(type='mmdckd.ExportStudentHook'),
            dict(type='mmdckd.CheckLabelsHook'),
            dict(type='EMAHook', momentum=0.2),
        ],
    )
    cfg.visualizer = dict(
        type='mmdckd.CohortVisualizer', vis_backends=[dict(type='LocalVisBackend')]
    )
    cfg.log_processor = dict(type='mmdckd.CohortLogProcessor')
    return train(cfg)


@pytest.fixture(scope='module')
def last(validated):
    """The last checkpoint, and its model on the device of the run."""
    path = str(Path(validated.work_dir) / 'epoch_2.pth')
    model = cohort_of(path, validated.cfg)
    model.teachers[0].model.load_state_dict(
        validated.model.teachers[0].model.state_dict()
    )
    return path, model.to(next(validated.model.parameters()).device)


def packed(runner, split='val'):
    dataset = getattr(runner, f'{split}_dataloader').dataset
    return default_collate([dataset[i] for i in range(len(dataset))])


@torch.no_grad()
def scores_of(network, data):
    samples = network.test_step(copy.deepcopy(data))
    return torch.stack([sample.pred_score for sample in samples])


def test_validation_counts_what_members_predict(device, validated, last):
    data = packed(validated)
    labels = torch.cat([sample.gt_label for sample in data['data_samples']])
    model = last[1]
    inputs = model.data_preprocessor(copy.deepcopy(data), False)
    with torch.no_grad():
        members = model.predict_members(**inputs)
    names = ['student0', 'student1', 'ensemble', 'teacher']
    assert list(members) == names
    scalars = validated.message_hub.log_scalars
    for name, samples in members.items():
        found = torch.cat([sample.pred_label for sample in samples])
        assert found.device == device
        top1 = 100 * float((found.cpu() == labels).double().mean())
        logged = scalars[f'val/{name}/accuracy/top1'].current()
        assert logged == pytest.approx(top1, abs=1e-4), name
    best = validated.message_hub.get_info('best_student')
    assert scalars['val/best/accuracy/top1'].current() == pytest.approx(
        max(scalars[f'val/{name}/accuracy/top1'].current() for name in names[:2])
    )
    assert best in names[:2]
    assert list(Path(validated.work_dir).glob('best_*.pth'))


def test_statistics_of_a_validation(validated):
    (path,) = Path(validated.work_dir).glob('*/vis_data/cohort_statistics.npz')
    with np.load(path) as arrays:
        assert arrays['step'] == 2
        assert np.isfinite(arrays['correlation']).all()


def test_an_exported_student_predicts_the_same(device, validated, last, tmp_path):
    """On the device to the bit; the file was written by a run on it."""
    path, model = last
    data = packed(validated, 'test')
    for name in ('best', 'student0', 'student1'):
        written = export_student(path, str(tmp_path), name)
        student = get_model(
            written.config, pretrained=written.checkpoint, device=device
        )
        inputs = model.data_preprocessor(copy.deepcopy(data), False)
        with torch.no_grad():
            inside = model.cohort.students[written.name](**inputs, mode='predict')
        inside = torch.stack([sample.pred_score for sample in inside])
        alone = scores_of(student, data)
        assert alone.device == device
        assert torch.equal(alone, inside)
    assert list(Path(validated.work_dir).glob('exported/student?.pth'))


def test_checkpoints_of_a_gpu_can_be_read_without_one(validated, last):
    content = torch.load(last[0], weights_only=True, map_location='cpu')
    assert {t.device.type for t in content['state_dict'].values()} == {'cpu'}
    for key, value in validated.model.state_dict().items():
        assert content['state_dict'][key].shape == value.shape


def test_onnx(validated, last, tmp_path):
    """It is held to PyTorch as it is written."""
    for name in ('onnx', 'onnxscript', 'onnxruntime'):
        pytest.importorskip(name)
    written = export_student(last[0], str(tmp_path), 'best')
    path = tmp_path / 'best.onnx'
    export_onnx(written.config, str(path))
    assert path.stat().st_size > 10_000


def cached(work_dir, teacher, hooks):
    cfg = quick(work_dir, custom_hooks=hooks)
    cfg.model.teacher = dict(network(), pretrained=teacher)
    cfg.train_dataloader = loader('train', indices=16)
    cfg.train_dataloader.dataset.pipeline = [
        dict(type='Resize', scale=12),
        dict(type='mmdckd.EnumeratedCropFlip', padding=1),
        dict(type='PackInputs', meta_keys=('sample_idx', 'view')),
    ]
    return cfg


def test_the_teacher_cache_has_what_the_teacher_says(
    device, compare, validated, tmp_path
):
    weights = tmp_path / 'teacher.pth'
    torch.save(validated.model.cohort.students['student0'].state_dict(), weights)
    hook = dict(type='mmdckd.TeacherCacheHook', folder=str(tmp_path / 'logits'))
    runner = train(cached(tmp_path, str(weights), [hook]))
    model = runner.model
    data = next(iter(runner.train_dataloader))
    data = model.data_preprocessor(data, True)
    looked_up = model.teacher_pass.cache(data['inputs'], data['data_samples'])
    assert looked_up.device == device
    (recorded,), _ = model.teacher_pass.run(data['inputs'])
    said = recorded['logits']
    compare('teacher cache: logits', looked_up, said, TOLERANCES['teacher_cache'])
    without = train(cached(tmp_path, str(weights), []))
    names, expected = losses(without)
    compare(
        'teacher cache: losses',
        losses(runner)[1],
        expected,
        10 * TOLERANCES['teacher_cache'],
    )


class SeesBatches(Hook):
    """Notes where batches are, before and after they are preprocessed."""

    def before_train(self, runner):
        self.pinned, self.devices, self.equal = set(), set(), []
        runner.model.data_preprocessor.register_forward_hook(self._after)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.pinned.add(data_batch['inputs'].is_pinned())

    def _after(self, module, args, output):
        images = (
            args[0]['inputs'].flip(1).float().cpu() - module.mean.cpu()
        ) / module.std.cpu()
        self.equal.append(torch.allclose(images, output['inputs'].cpu()))
        samples = output['data_samples']
        self.devices.add(output['inputs'].device)
        self.devices.update(sample.gt_label.device for sample in samples)


@pytest.mark.parametrize('workers', [0, 2])
def test_pinned_memory(cuda, tmp_path, workers):
    cfg = quick(tmp_path)
    cfg.train_dataloader.update(
        collate_fn=dict(type='default_collate'),
        pin_memory=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    runner = Runner.from_cfg(cfg)
    hook = SeesBatches()
    runner.register_hook(hook)
    runner.train()
    runner.train_dataloader._iterator = None
    assert hook.pinned == {True} and hook.devices == {cuda}
    assert len(hook.equal) == 4 and all(hook.equal)
