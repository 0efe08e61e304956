# Copyright (c) mmdckd contributors. All rights reserved.
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate
from mmengine.hooks import EMAHook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from mmpretrain import get_model
from safetensors.torch import load_file

from helpers.networks import network
from helpers.paths import HELPERS
from helpers.runs import cohort_of, pack, run_config, student_scores, train
from mmdckd.export import export_onnx, export_student
from mmdckd.models import networks

CHILD = HELPERS / 'plain_mmpretrain.py'


def last(run):
    return str(Path(run.work_dir) / 'epoch_2.pth')


def in_plain_mmpretrain(folder, jobs):
    """Do jobs in a process without mmdckd and mmrazor."""
    (folder / 'jobs.json').write_text(json.dumps(jobs))
    env = dict(os.environ, OMP_NUM_THREADS=str(torch.get_num_threads()))
    env.pop('PYTHONPATH', None)
    done = subprocess.run(
        [sys.executable, str(CHILD), str(folder / 'jobs.json')],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert 'done without mmdckd mmrazor' in done.stdout
    return [torch.load(job['out'], weights_only=False) for job in jobs]


def test_mmpretrain_alone_gives_the_same_scores(
    run, mixed_run, token_run, images, digit_folder, tmp_path
):
    cases = [
        (run, 'best'),
        (mixed_run, 'package'),
        (mixed_run, 'local'),
        (mixed_run, 'inline'),
        (token_run, 'deit'),
        (token_run, 'former'),
        (token_run, 'levit'),
    ]
    jobs, exported = [], []
    for index, (of, student) in enumerate(cases):
        out = tmp_path / str(index)
        exported.append(export_student(last(of), str(out), student))
        packed = pack(images, of.cfg)
        torch.save(default_collate(packed)['inputs'], str(out / 'inputs.pt'))
        jobs.append(
            dict(
                config=exported[-1].config,
                checkpoint=exported[-1].checkpoint,
                inputs=str(out / 'inputs.pt'),
                images=images,
                out=str(out / 'results.pt'),
            )
        )
    for tested in (0, 1):
        jobs[tested]['data_root'] = digit_folder
    results = in_plain_mmpretrain(tmp_path, jobs)

    for (of, student), written, result in zip(cases, exported, results):
        if student == 'best':
            student = of.best_student
        assert written.name == student
        model = cohort_of(last(of), of.cfg)
        packed = pack(images, of.cfg)
        single = student_scores(model, student, packed)
        batch = student_scores(model, student, packed, len(packed))
        assert torch.equal(result['inferencer'], single)
        assert torch.equal(result['get_model'], batch)
        assert len(single.unique(dim=0)) == len(images)
        assert result['classes'] == list('0123456789')
        assert result['pred_class'] == [str(int(label)) for label in single.argmax(1)]
        if 'metrics' in result:  # of the run's test images, read from files
            tester = Runner.from_cfg(Config(dict(of.cfg.to_dict(), load_from=last(of))))
            metrics = tester.test()
            for key in ('accuracy/top1', 'accuracy/top5'):
                assert result['metrics'][key] == metrics[f'{student}/{key}']


@pytest.mark.parametrize(
    'name',
    [
        'deit',
        *(pytest.param(name, marks=pytest.mark.slow) for name in ('former', 'levit')),
    ],
)
def test_a_student_with_two_classifiers_becomes_onnx(token_run, name, tmp_path):
    written = export_student(last(token_run), str(tmp_path), name)
    assert export_onnx(written.config, str(tmp_path / 'student.onnx')) < 1e-4


@pytest.fixture
def without_configs(mixed_run, monkeypatch):
    """The config files that students of a run were made from are gone."""

    def get_config(cfg_path, **kwargs):
        raise FileNotFoundError(cfg_path)

    local = Path(mixed_run.cfg.model.students.local.cfg_path)
    moved = local.rename(local.with_suffix('.moved'))
    monkeypatch.setattr(networks, 'get_config', get_config)
    yield
    moved.rename(local)


def exported_configs(checkpoint, out, names, cfg=None):
    configs = [
        Config.fromfile(export_student(checkpoint, str(out), name, cfg).config)
        for name in names
    ]
    return [dict(each.to_dict(), load_from=None) for each in configs]


def older(run, path):
    """A checkpoint without what it knows of its students."""
    content = torch.load(last(run), weights_only=True)
    del content['meta']['students']
    torch.save(content, path)
    return str(path)


def test_a_checkpoint_knows_its_students(mixed_run, without_configs, tmp_path):
    names = ('package', 'local', 'inline')
    meta = torch.load(last(mixed_run), weights_only=True)['meta']
    assert set(meta['students']) == set(names)
    assert all('cfg_path' not in each for each in meta['students'].values())
    exported_configs(last(mixed_run), tmp_path, names)
    checkpoint = older(mixed_run, tmp_path / 'epoch_2.pth')
    for name in ('package', 'local'):
        with pytest.raises(ValueError, match='cfg_path'):
            export_student(checkpoint, str(tmp_path), name)


def test_an_older_checkpoint_gives_the_same_student(mixed_run, tmp_path):
    names = ('package', 'local', 'inline')
    now = exported_configs(last(mixed_run), tmp_path / 'now', names)
    checkpoint = older(mixed_run, tmp_path / 'epoch_2.pth')
    assert exported_configs(checkpoint, tmp_path / 'older', names) == now
    given = exported_configs(checkpoint, tmp_path / 'given', names, mixed_run.cfg)
    assert given == now


def test_the_files_hold_what_is_needed_and_nothing_else(run, tmp_path):
    written = export_student(last(run), str(tmp_path), 'student1')
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'student1.pth',
        'student1.py',
        'student1.safetensors',
    ]
    checkpoint = torch.load(written.checkpoint, weights_only=True)
    assert set(checkpoint) == {'meta', 'state_dict'}
    student = run.model.cohort.students['student1']
    assert list(checkpoint['state_dict']) == list(student.state_dict())
    for key, value in student.state_dict().items():
        assert torch.equal(checkpoint['state_dict'][key], value)
    assert checkpoint['state_dict']._metadata == student.state_dict()._metadata
    safe = load_file(written.safetensors)
    assert set(safe) == set(student.state_dict())
    for key, value in student.state_dict().items():
        assert torch.equal(safe[key], value) and safe[key].dtype == value.dtype
    meta = checkpoint['meta']
    assert meta['dataset_meta'] == dict(classes=list('0123456789'))
    assert (meta['student'], meta['source'], meta['epoch']) == (
        'student1',
        'epoch_2.pth',
        2,
    )

    text = Path(written.config).read_text()
    code = [line for line in text.splitlines() if line[:1] != '#']
    for word in ('mmdckd', 'mmrazor', '_scope_', str(run.work_dir)):
        assert word not in '\n'.join(code)
    assert 'tested on mmdckd.Digits' in text
    in_meta = Config.fromstring(meta['cfg'], '.py')
    assert in_meta.model == Config.fromfile(written.config).model


def test_the_weights_are_those_that_validation_measured(folder, tmp_path):
    run = train(
        run_config(
            folder,
            custom_hooks=[
                dict(type='mmengine.EMAHook', momentum=0.2),
                dict(type='mmdckd.ExportStudentHook', student='student1'),
            ],
            default_hooks=dict(checkpoint=dict(type='mmdckd.CohortCheckpointHook')),
        )
    )
    ema = next(hook for hook in run.hooks if isinstance(hook, EMAHook))
    averaged = ema.ema_model.module.cohort.students['student1'].state_dict()
    trained = run.model.cohort.students['student1'].state_dict()
    in_run = Path(run.work_dir) / 'exported' / 'student1.pth'
    by_tool = export_student(last(run), str(tmp_path), 'student1').checkpoint
    for path in (in_run, by_tool):
        weights = torch.load(path, weights_only=True)['state_dict']
        for key, value in averaged.items():
            assert torch.equal(weights[key], value)
        assert not torch.equal(weights['head.fc.weight'], trained['head.fc.weight'])


def test_another_config_is_used_when_given(run, tmp_path):
    cfg = Config(run.cfg.to_dict())
    cfg.test_dataloader.batch_size = 7
    written = export_student(last(run), str(tmp_path), 'student0', cfg)
    assert Config.fromfile(written.config).test_dataloader.batch_size == 7

    cfg.model.architecture = network(34)
    with pytest.raises(
        ValueError, match='Invalid checkpoint: expected the weights'
    ) as error:
        export_student(last(run), str(tmp_path / 'wrong'), 'student0', cfg)
    assert 'backbone.layer1.2.conv1.weight' in str(error.value)
    assert 'Give the config of the run' in str(error.value)
    assert not (tmp_path / 'wrong').exists()

    cfg.model.pop('architecture')
    with pytest.raises(ValueError, match='a config with `model.architecture`'):
        export_student(last(run), str(tmp_path / 'wrong'), 'student0', cfg)


def test_a_bare_state_dict_will_do_with_a_config(run, tmp_path):
    bare = str(tmp_path / 'bare.pth')
    torch.save(run.model.state_dict(), bare)
    written = export_student(bare, str(tmp_path), 'student0', run.cfg)
    weights = torch.load(written.checkpoint, weights_only=True)
    assert 'dataset_meta' not in weights['meta']
    assert torch.equal(
        weights['state_dict']['head.fc.bias'],
        run.model.cohort.students['student0'].head.fc.bias,
    )
    with pytest.raises(ValueError, match='expected a config in its metadata'):
        export_student(bare, str(tmp_path), 'student0')


def test_without_a_test_pipeline_the_log_says_what_will_not_work(run, tmp_path, caplog):
    cfg = Config(run.cfg.to_dict())
    for key in ('test_dataloader', 'val_dataloader'):
        cfg.pop(key)
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    written = export_student(last(run), str(tmp_path), 'student0', cfg)
    logger.removeHandler(caplog.handler)
    assert 'test_dataloader.dataset.pipeline' in caplog.text
    assert 'test_dataloader' not in Config.fromfile(written.config)
    assert get_model(written.config, pretrained=True) is not None


def test_unknown_students(run, tmp_path):
    with pytest.raises(ValueError) as error:
        export_student(last(run), str(tmp_path), 'studnet1')
    assert "Did you mean 'student1'?" in str(error.value)
    assert "['student0', 'student1']" in str(error.value)
    with pytest.raises(ValueError, match=r"`student`: .*got 'zebra'\.$"):
        export_student(last(run), str(tmp_path), 'zebra')
    assert not list(tmp_path.iterdir())


def test_best_needs_a_validation(run, tmp_path):
    content = torch.load(last(run), weights_only=False)
    content['message_hub']['runtime_info'].pop('best_student')
    torch.save(content, str(tmp_path / 'unknown.pth'))
    with pytest.raises(ValueError, match='best') as error:
        export_student(str(tmp_path / 'unknown.pth'), str(tmp_path / 'out'))
    assert "['student0', 'student1']" in str(error.value)


def test_files_that_are_no_checkpoint_of_a_cohort(run, tmp_path):
    out = str(tmp_path / 'out')
    with pytest.raises(FileNotFoundError, match='missing.pth'):
        export_student(str(tmp_path / 'missing.pth'), out)

    whole = Path(last(run)).read_bytes()
    (tmp_path / 'short.pth').write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match='truncated'):
        export_student(str(tmp_path / 'short.pth'), out)

    torch.save([1, 2], str(tmp_path / 'list.pth'))
    with pytest.raises(ValueError, match='got a list'):
        export_student(str(tmp_path / 'list.pth'), out)

    plain = export_student(last(run), str(tmp_path / 'plain'), 'student0')
    with pytest.raises(ValueError, match='of a CollectiveDistill.*backbone'):
        export_student(plain.checkpoint, out)


class RunsCode:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_student_never_replaces_its_cohort(run, tmp_path):
    checkpoint = tmp_path / 'student0.pth'
    checkpoint.write_bytes(Path(last(run)).read_bytes())
    with pytest.raises(ValueError, match='Invalid `out_dir`: .*would replace'):
        export_student(str(checkpoint), str(tmp_path), 'student0')
    assert list(tmp_path.iterdir()) == [checkpoint]
    assert checkpoint.read_bytes() == Path(last(run)).read_bytes()
    export_student(str(checkpoint), str(tmp_path / 'out'), 'student0')


def test_a_checkpoint_cannot_run_code(run, tmp_path):
    trace = tmp_path / 'trace'
    content = torch.load(last(run), weights_only=False)
    torch.save(dict(content, extra=RunsCode(trace)), str(tmp_path / 'pickle.pth'))
    with pytest.raises(ValueError, match='expected only weights'):
        export_student(str(tmp_path / 'pickle.pth'), str(tmp_path / 'out'))

    content['meta']['cfg'] += f'\nopen({str(trace)!r}, "w")\n'
    torch.save(content, str(tmp_path / 'config.pth'))
    with pytest.raises(ValueError, match='not run'):
        export_student(str(tmp_path / 'config.pth'), str(tmp_path / 'out'))
    assert not trace.exists()
