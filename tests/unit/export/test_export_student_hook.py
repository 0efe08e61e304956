# Copyright (c) mmdckd contributors. All rights reserved.
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from helpers.networks import network
from helpers.runs import PREPROCESSOR, run_config, train
from mmdckd.export import export_student
from mmdckd.export.export_student_hook import _best_checkpoint

LAST_ONLY = dict(checkpoint=dict(type='mmdckd.CohortCheckpointHook'))


def run_with_hook(folder, cohort=None, hook=None, **kwargs):
    hooks = [dict(type='mmdckd.ExportStudentHook', **(hook or {}))]
    return run_config(folder, cohort, custom_hooks=hooks, **kwargs)


def assert_same_export(one, other):
    one, other = Path(one), Path(other)
    assert one.with_suffix('.py').name == other.with_suffix('.py').name
    ours, theirs = (
        torch.load(path.with_suffix('.pth'), weights_only=True) for path in (one, other)
    )
    for key, value in theirs['state_dict'].items():
        assert torch.equal(ours['state_dict'][key], value)
    assert list(ours['state_dict']) == list(theirs['state_dict'])
    # MMEngine sorts the keys of a config that it saves.
    texts = [each['meta'].pop('cfg') for each in (ours, theirs)]
    ours_cfg, theirs_cfg = (Config.fromstring(t, '.py') for t in texts)
    assert ours_cfg.to_dict() == theirs_cfg.to_dict()
    ours['meta'].pop('source'), theirs['meta'].pop('source')
    assert ours['meta'] == theirs['meta']
    configs = [Config.fromfile(p.with_suffix('.py')) for p in (one, other)]
    for config in configs:
        assert config.pop('load_from').endswith(one.with_suffix('.pth').name)
    assert configs[0].to_dict() == configs[1].to_dict()


def test_the_best_student_of_the_best_checkpoint(tmp_path):
    # The rate of the second epoch destroys what the first has learned.
    cfg = run_with_hook(
        tmp_path,
        param_scheduler=[
            dict(type='MultiStepLR', by_epoch=True, milestones=[1], gamma=1e4)
        ],
    )
    run = train(cfg)
    best_file = run.message_hub.get_info('best_ckpt')
    assert best_file.endswith('epoch_1.pth')
    written = export_student(best_file, str(tmp_path / 'by_tool'))
    exported = sorted((Path(run.work_dir) / 'exported').iterdir())
    assert [path.name for path in exported] == [
        f'{written.name}.{ending}' for ending in ('pth', 'py', 'safetensors')
    ]
    assert_same_export(exported[0], written.checkpoint)


def test_the_first_of_several_best_checkpoints():
    kept = dict(best_ckpt_one='/elsewhere/one.pth', best_ckpt_two='/elsewhere/two.pth')
    runner = SimpleNamespace(
        hooks=[CheckpointHook(save_best=['one', 'two'], rule='greater')],
        message_hub=SimpleNamespace(get_info=kept.get),
        work_dir='run',
    )
    assert _best_checkpoint(runner) == str(Path('run', 'one.pth'))


def test_the_final_weights_without_save_best(tmp_path):
    run = train(
        run_with_hook(
            tmp_path,
            dict(students=dict(main=network(), peer=network(34))),
            dict(student='peer'),
            default_hooks=LAST_ONLY,
        )
    )
    written = export_student(
        str(Path(run.work_dir) / 'epoch_2.pth'), str(tmp_path / 'by_tool'), 'peer'
    )
    assert_same_export(Path(run.work_dir) / 'exported' / 'peer.pth', written.checkpoint)
    weights = torch.load(written.checkpoint, weights_only=True)['state_dict']
    for key, value in run.model.cohort.students['peer'].state_dict().items():
        assert torch.equal(weights[key], value)


def test_a_network_is_exported_as_it_was_built(tmp_path):
    local = tmp_path / 'local.py'
    local.write_text(f'model = {network()}\n')
    runner = Runner.from_cfg(
        run_with_hook(
            tmp_path,
            dict(architecture=dict(cfg_path=str(local)), num_students=2),
            dict(student='student0'),
        )
    )
    local.unlink()
    runner.train()
    plain = Config.fromfile(Path(runner.work_dir) / 'exported' / 'student0.py')
    assert plain.model == network()
    assert plain.data_preprocessor == PREPROCESSOR


def test_without_validation_the_log_says_that_there_is_no_best(tmp_path):
    cfg = run_with_hook(
        tmp_path,
        default_hooks=LAST_ONLY,
        val_cfg=None,
        val_dataloader=None,
        val_evaluator=None,
    )
    run = train(cfg)
    assert not (Path(run.work_dir) / 'exported').exists()
    log = next(Path(run.work_dir).rglob('*.log')).read_text()
    assert 'will export nothing' in log
    assert 'ExportStudentHook exports nothing' in log


def assert_refused(cfg, *words):
    """It is an error before the first step."""
    runner = Runner.from_cfg(cfg)
    with pytest.raises(ValueError) as error:
        runner.train()
    for word in words:
        assert word in str(error.value)
    assert runner.iter == 0


def test_what_cannot_be_exported_is_refused_before_the_first_step(tmp_path):
    assert_refused(
        run_with_hook(tmp_path, hook=dict(student='student7')),
        "`ExportStudentHook.student`: expected 'best'",
        "['student0', 'student1']",
    )

    foreign = network()
    foreign['backbone']['conv_cfg'] = dict(type='mmrazor.BigNasConv2d')
    students = dict(students=dict(main=network(), odd=foreign))
    assert_refused(
        run_with_hook(tmp_path, students),
        'students.odd.backbone.conv_cfg',
        'mmrazor.BigNasConv2d',
    )
    Runner.from_cfg(
        run_with_hook(tmp_path, students, dict(student='main'), default_hooks=LAST_ONLY)
    ).train()

    cfg = run_with_hook(tmp_path, default_hooks=LAST_ONLY, val_cfg=dict())
    cfg.model = network()
    assert_refused(cfg, 'got ImageClassifier', 'CollectiveDistill')
