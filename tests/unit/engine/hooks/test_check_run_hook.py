# Copyright (c) mmdckd contributors. All rights reserved.
"""Runs that would silently be another one are refused before a step."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.registry import METRICS
from mmengine.runner import Runner

from helpers.networks import PREPROCESSOR, build, network
from helpers.processes import run_processes
from helpers.runs import run_config
from mmdckd.engine.checks import check_early_stops
from mmdckd.evaluation.metric_names import metrics_to_come


def config(tmp_path, num_students=2, **changes):
    """A run of one epoch of two batches, without a teacher."""
    cfg = run_config(tmp_path)
    cfg.custom_hooks = [dict(type='mmdckd.CheckRunHook')]
    cfg.model.teacher = None
    cfg.model.distiller = dict(type='mmdckd.CollectiveDistiller')
    cfg.model.num_students = num_students
    cfg.train_dataloader.dataset.indices = 64
    cfg.val_dataloader.dataset.indices = 30
    cfg.train_cfg.max_epochs = 1
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=1)
    cfg.merge_from_dict(changes)
    return cfg


def refused(cfg, test=False):
    runner = Runner.from_cfg(cfg)
    with pytest.raises(ValueError) as error:
        runner.test() if test else runner.train()
    assert test or runner.iter == 0
    return str(error.value)


# --------------------------------------------------------------------------- #
#                                 Checkpoints                                 #
# --------------------------------------------------------------------------- #


@pytest.fixture(scope='module')
def files(tmp_path_factory):
    """A checkpoint of two students, and one of a network alone."""
    folder = tmp_path_factory.mktemp('files')
    two = config(folder)
    Runner.from_cfg(two).train()
    plain = build(**network(), data_preprocessor=dict(PREPROCESSOR))
    torch.save(dict(state_dict=plain.state_dict(), meta={}), folder / 'plain.pth')
    return dict(two=f'{two.work_dir}/epoch_1.pth', plain=str(folder / 'plain.pth'))


@pytest.mark.parametrize('test', [False, True])
@pytest.mark.parametrize(
    'file, remedy',
    [
        ('plain', '`model.architecture.pretrained`'),
        ('two', '--cfg-options model.num_students=2'),
    ],
)
def test_a_checkpoint_that_does_not_fit(tmp_path, files, test, file, remedy):
    path = files[file]
    message = refused(config(tmp_path, 3, load_from=path), test)
    source = 'checkpoint' if test else '`load_from`'
    assert message.startswith(f'Invalid {source}: expected the weights')
    assert f'got those of a {"network" if file == "plain" else "cohort"}' in message
    assert f' in {path!r}.' in message
    assert 'missing from the file: architecture.students.student' in message
    assert remedy in message


def test_resuming_with_another_number_of_students(tmp_path, files):
    cfg = config(tmp_path, 3, load_from=files['two'], resume=True)
    message = refused(cfg)
    assert message.startswith('Invalid `resume`: expected the weights')
    assert f' in {files["two"]!r}.' in message
    assert 'model.num_students=2' in message


def test_other_parts_beside_the_members_are_accepted(tmp_path, files):
    cfg = config(tmp_path, load_from=files['two'])
    cfg.model.lagged_peers = dict(momentum=0.5)
    cfg.model.distiller.collective_losses = dict(
        loss_dckd=dict(type='mmdckd.DCKDLoss', alpha=0.0)
    )
    Runner.from_cfg(cfg).train()
    cfg = config(tmp_path, load_from=files['two'], resume=True)
    cfg.train_cfg.max_epochs = 2
    cfg.model.lagged_peers = dict(momentum=0.5)
    cfg.model.distiller.collective_losses = dict(
        loss_dckd=dict(type='mmdckd.DCKDLoss', alpha=0.0)
    )
    assert 'missing from the file: lagged_peers' in refused(cfg)


def plain_config(tmp_path, **changes):
    """A network that is trained alone."""
    cfg = config(tmp_path)
    cfg.model = network()
    cfg.val_cfg = cfg.test_cfg = dict()
    cfg.default_hooks.checkpoint.save_best = 'accuracy/top1'
    cfg.merge_from_dict(changes)
    return cfg


def test_a_network_alone_is_checked_as_well(tmp_path, files):
    cfg = plain_config(tmp_path, load_from=files['two'])
    assert 'tools/export_student.py' in refused(cfg)
    assert 'tools/export_student.py' in refused(
        plain_config(tmp_path, load_from=files['two']), test=True
    )
    cfg = plain_config(tmp_path)
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=files['two'])
    assert refused(cfg).startswith('Invalid `model.backbone.init_cfg`')


# --------------------------------------------------------------------------- #
#                                   Metrics                                   #
# --------------------------------------------------------------------------- #


@METRICS.register_module()
class ByClass(BaseMetric):
    """A list, then a number that is better where it is less."""

    default_prefix = 'own'

    def process(self, data_batch, data_samples):
        self.results += [float(s['pred_score'][0]) for s in data_samples]

    def compute_metrics(self, results):
        mean = sum(results) / len(results)
        return dict(classwise=[mean, 1 - mean], loss=mean)


@METRICS.register_module()
class OfImages(ByClass):
    """It wants more than predictions."""

    def process(self, data_batch, data_samples):
        self.results += [float(s['pred_score'][0]) for s in data_samples]
        self.results[0] += 0 * len(data_batch['inputs'])


@pytest.mark.parametrize(
    'changes, key, near',
    [
        (
            {'default_hooks.checkpoint.save_best': 'accuracy/top1'},
            'default_hooks.checkpoint.save_best',
            'best/accuracy/top1',
        ),
        (
            {
                'default_hooks.checkpoint.save_best': [
                    'best/accuracy/top1',
                    'student2/accuracy/top1',
                ]
            },
            'default_hooks.checkpoint.save_best',
            None,
        ),
        (
            {
                'custom_hooks': [
                    dict(type='mmdckd.CheckRunHook'),
                    dict(type='EarlyStoppingHook', monitor='accuracy/top5'),
                ]
            },
            'EarlyStoppingHook.monitor',
            'best/accuracy/top5',
        ),
        (
            {
                'param_scheduler': [
                    dict(type='ConstantLR'),
                    dict(type='ReduceOnPlateauLR', monitor='teacher/accuracy/top1'),
                ]
            },
            'param_scheduler[1].monitor',
            None,
        ),
        ({'val_cfg.monitor': 'accuracy/top3'}, 'val_cfg.monitor', None),
        (
            {
                'val_evaluator': [dict(type='ByClass')],
                'default_hooks.checkpoint.save_best': 'best/own/classwise',
                'default_hooks.checkpoint.rule': 'greater',
            },
            'save_best',
            None,
        ),
    ],
)
def test_what_no_metric_produces(tmp_path, changes, key, near):
    message = refused(config(tmp_path, **changes))
    assert message.startswith(f'Invalid `{key}`: expected one of the metrics')
    assert near is None or message.endswith(f'Did you mean {near!r}?')


def test_each_of_two_hooks_of_one_kind_is_checked(tmp_path):
    hooks = [
        dict(type='EarlyStoppingHook', monitor=f'best/accuracy/{metric}')
        for metric in ('top3', 'top5')
    ]
    changes = {'custom_hooks': [dict(type='mmdckd.CheckRunHook'), *hooks]}
    message = refused(config(tmp_path, **changes))
    assert message.startswith('Invalid `EarlyStoppingHook.monitor`')
    assert "got 'best/accuracy/top3'" in message


def stopped_early(
    tmp_path,
    by_epoch=True,
    val_interval=1,
    max_epochs=9,
    dynamic_intervals=None,
    **saving,
):
    """A run of nine epochs of two batches, which stops after three validations.

    MMEngine's own hook saves its checkpoints.
    """
    cfg = config(tmp_path)
    end = dict(max_epochs=max_epochs) if by_epoch else dict(max_iters=18)
    cfg.train_cfg = dict(by_epoch=by_epoch, val_interval=val_interval, **end)
    cfg.train_cfg.dynamic_intervals = dynamic_intervals
    saving = dict(type='CheckpointHook', by_epoch=by_epoch, **saving)
    cfg.default_hooks.checkpoint = saving
    stop = dict(monitor='best/accuracy/top1', min_delta=1000.0, patience=2)
    cfg.custom_hooks.append(dict(type='EarlyStoppingHook', **stop))
    return cfg


@pytest.mark.parametrize(
    'options, where',
    [
        (dict(interval=5), 'epoch 1'),
        (dict(interval=2), 'epoch 1'),
        (dict(interval=2, val_interval=2, save_begin=3), 'epoch 2'),
        (dict(interval=-1), 'epoch 1'),
        (dict(interval=4, val_interval=2, by_epoch=False), 'iteration 2'),
        (dict(interval=4, val_interval=4, dynamic_intervals=[(6, 1)]), 'epoch 5'),
    ],
)
def test_an_early_stop_that_nothing_would_save(tmp_path, options, where):
    message = refused(stopped_early(tmp_path, **options))
    assert message.startswith('Invalid `default_hooks.checkpoint`: expected type=')
    assert f'such as after {where}.' in message


@pytest.mark.parametrize(
    'options',
    [
        dict(interval=1),
        dict(interval=2, val_interval=4),
        dict(interval=5, save_last=False),
        dict(interval=2, val_interval=2, by_epoch=False),
        dict(interval=5, val_interval=2, max_epochs=2),
    ],
)
def test_an_early_stop_that_is_saved(tmp_path, options):
    runner = Runner.from_cfg(stopped_early(tmp_path, **options))
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    check_early_stops(runner)


@pytest.mark.parametrize(
    'train_cfg, end',
    [
        (dict(by_epoch=True, max_epochs=1, val_begin=2), 1),
        (dict(by_epoch=False, max_iters=3, val_begin=4), 3),
    ],
)
def test_a_run_that_would_never_validate(tmp_path, train_cfg, end):
    cfg = config(tmp_path)
    cfg.train_cfg = train_cfg
    cfg.default_hooks.checkpoint.by_epoch = train_cfg['by_epoch']
    message = refused(cfg)
    assert message.startswith('Invalid `train_cfg.val_begin`')
    assert f'at most {end}, the end of training, got {end + 1}.' in message
    cfg.train_cfg.val_begin = end
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.message_hub.get_info('best_student')


@pytest.mark.parametrize(
    'part',
    [
        dict(
            custom_hooks=[
                dict(type='mmdckd.CheckRunHook'),
                dict(type='EarlyStoppingHook', monitor='best/accuracy/top1'),
            ]
        ),
        dict(
            param_scheduler=[
                dict(
                    type='ReduceOnPlateauLR',
                    monitor='best/accuracy/top1',
                    rule='greater',
                )
            ]
        ),
    ],
)
def test_what_is_followed_without_validation(tmp_path, part):
    cfg = config(tmp_path, **part)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    assert 'the run does not validate' in refused(cfg)


def train_in(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    (log,) = Path(runner.log_dir).glob('*.log')
    return runner, log.read_text()


def test_best_follows_what_is_saved(tmp_path):
    cfg = config(
        tmp_path,
        **{
            'val_evaluator': [
                dict(type='ConfusionMatrix'),
                dict(type='ByClass'),
                dict(type='Accuracy'),
            ],
            'default_hooks.checkpoint.save_best': 'best/own/loss',
        },
    )
    runner, log = train_in(cfg)
    assert (
        "The best student is the one with the least 'own/loss' (`save_best`)."
    ) in log
    scalars = runner.message_hub.log_scalars
    values = {
        name: scalars[f'val/{name}/own/loss'].current()
        for name in ('student0', 'student1', 'best')
    }
    best = runner.message_hub.get_info('best_student')
    assert values['best'] == values[best] == min(values.values())
    assert values['student0'] != values['student1']


def test_one_metric_has_one_rule(tmp_path):
    cfg = config(tmp_path, **{'val_cfg.rule': 'less'})
    message = refused(cfg)
    assert message.startswith("Invalid `val_cfg.rule`: expected 'greater'")
    cfg.default_hooks.checkpoint.rule = 'less'
    assert Runner.from_cfg(cfg).train() is not None


def test_without_a_rule_the_first_number_decides(tmp_path):
    cfg = config(
        tmp_path,
        val_evaluator=[
            dict(type='ConfusionMatrix'),
            dict(type='SingleLabelMetric', average=None, items=['precision']),
            dict(type='Accuracy'),
        ],
    )
    cfg.default_hooks.checkpoint.save_best = None
    runner, log = train_in(cfg)
    assert "greatest 'accuracy/top1' (the first metric of `val_evaluator`)" in log


def test_a_metric_that_wants_more_is_not_checked(tmp_path):
    cfg = config(
        tmp_path,
        **{
            'val_evaluator': [dict(type='OfImages')],
            'default_hooks.checkpoint.save_best': 'best/own/loss',
        },
    )
    _, log = train_in(cfg)
    assert 'OfImages cannot evaluate made-up predictions' in log
    assert "least 'own/loss' (`save_best`)" in log
    # It is, once it is known what the metric returns.
    cfg.default_hooks.checkpoint.save_best = 'best/own/top'
    cfg.experiment_name += '_other'
    with pytest.raises(ValueError, match='save_best`: expected one of the'):
        Runner.from_cfg(cfg).train()


# --------------------------------------------------------------------------- #
#                              What reaches nobody                            #
# --------------------------------------------------------------------------- #


@pytest.mark.parametrize(
    'key, near',
    [
        ('architecture.backbone', "'architecture.students.student0.backbone'"),
        ('backbonne', "'backbone'"),
        ('student2', "'student1'"),
        ('head.fd', 'head'),
    ],
)
def test_custom_keys_that_match_nothing(tmp_path, key, near):
    cfg = config(tmp_path)
    cfg.optim_wrapper.paramwise_cfg = dict(
        custom_keys={key: dict(lr_mult=0.1), 'head': dict(lr_mult=2.0)}
    )
    message = refused(cfg)
    assert message.startswith(
        'Invalid `optim_wrapper.paramwise_cfg.custom_keys`: expected a part '
        f'of a parameter name, got {key!r}'
    )
    assert near in message


def test_custom_keys_of_schedules_for_several_networks(tmp_path):
    cfg = config(tmp_path)
    cfg.optim_wrapper.optimizer.weight_decay = 0.1
    cfg.optim_wrapper.paramwise_cfg = dict(
        custom_keys={
            '.absolute_pos_embed': dict(decay_mult=0.0),
            'bn': dict(decay_mult=0.0),
        }
    )
    _, log = train_in(cfg)
    assert 'match no parameter of this model: .absolute_pos_embed.' in log


def test_a_batch_of_one_image(tmp_path):
    cfg = config(tmp_path)
    cfg.train_dataloader.dataset.indices = 65
    # Of 8 pixels one is left after four halvings: one value a channel.
    cfg.train_dataloader.dataset.pipeline[0].scale = 4
    cfg.train_dataloader.dataset.pipeline[0].type = 'Resize'
    cfg.model.architecture = dict(
        type='ImageClassifier',
        backbone=dict(type='ResNet', depth=18, stem_channels=4, base_channels=4),
        neck=dict(type='GlobalAveragePooling'),
        head=dict(type='LinearClsHead', num_classes=10, in_channels=32),
    )
    message = refused(cfg)
    assert '`train_dataloader.drop_last=True`' in message
    assert 'student0.backbone.layer' in message
    cfg.train_dataloader.drop_last = True
    cfg.experiment_name += '_dropped'
    Runner.from_cfg(cfg).train()


def test_a_test_without_a_number_is_refused_before_it_begins(tmp_path, files):
    cfg = config(tmp_path, load_from=files['two'])
    cfg.test_evaluator = dict(type='ConfusionMatrix')
    metrics = Runner.from_cfg(cfg).test()  # the checkpoint names the best
    assert metrics['best/confusion_matrix/result'].shape == (10, 10)
    cfg.load_from = None
    cfg.experiment_name += '_random'
    assert 'expected a metric whose value is a number' in refused(cfg, test=True)
    cfg = config(tmp_path)
    cfg.test_cfg.monitor = 'accuracy/top3'
    assert refused(cfg, test=True).startswith('Invalid `test_cfg.monitor`')


@METRICS.register_module()
class Anything(ByClass):
    """What no file can hold as it is."""

    default_prefix = 'any'

    def compute_metrics(self, results):
        return dict(
            array=np.array(results[:2]),
            nan=float('nan'),
            tensor=torch.ones(2, 2),
            number=np.float32(len(results)),
        )


def test_a_run_writes_whatever_a_metric_returns(tmp_path):
    cfg = config(tmp_path)
    cfg.log_processor = dict(type='mmdckd.CohortLogProcessor')
    cfg.visualizer = dict(
        type='mmdckd.CohortVisualizer', vis_backends=[dict(type='LocalVisBackend')]
    )
    cfg.val_evaluator = cfg.test_evaluator = [
        dict(type='Anything'),
        dict(type='Accuracy'),
    ]
    cfg.default_hooks.checkpoint.save_best = None
    runner, log = train_in(cfg)
    assert "greatest 'any/nan'" in log
    assert runner.message_hub.get_info('best_student') == 'student0'
    runner.test()
    again = config(tmp_path)
    again.update(
        val_evaluator=cfg.val_evaluator,
        load_from=f'{runner.work_dir}/epoch_1.pth',
        resume=True,
    )
    again.train_cfg.max_epochs = 2
    assert train_in(again)[0].epoch == 2


class _NeedsMore(BaseMetric):
    """Computes nothing of made-up predictions."""

    def process(self, data_batch, data_samples):
        self.results += data_samples

    def compute_metrics(self, results):
        raise ValueError('expected more')


def names_to_come(rank):
    return metrics_to_come(Evaluator([_NeedsMore()]), 10)


def test_no_process_waits_for_one_that_finds_no_metrics():
    assert run_processes(names_to_come) == [None, None]


# --------------------------------------------------------------------------- #
#                                By iterations                                #
# --------------------------------------------------------------------------- #


def by_iteration(tmp_path, checkpoint, scheduler):
    cfg = config(tmp_path)
    cfg.train_cfg = dict(by_epoch=False, max_iters=2, val_interval=2)
    cfg.default_hooks.checkpoint.update(checkpoint)
    cfg.param_scheduler = [dict(type='LinearLR', by_epoch=False, end=1), scheduler]
    return cfg


@pytest.mark.parametrize(
    'checkpoint, scheduler, key',
    [
        (
            dict(interval=1),
            dict(type='MultiStepLR', milestones=[1], by_epoch=False),
            'default_hooks.checkpoint.by_epoch',
        ),
        (
            dict(interval=1, by_epoch=False),
            dict(type='MultiStepLR', milestones=[1]),
            r'param_scheduler\[1\].by_epoch',
        ),
    ],
)
def test_what_waits_for_an_epoch_of_a_run_by_iterations(
    tmp_path, checkpoint, scheduler, key
):
    message = refused(by_iteration(tmp_path, checkpoint, scheduler))
    assert re.match(
        f'Invalid `{key}`: expected False with `train_cfg.by_epoch=False`, got True.',
        message,
    )


def test_what_follows_iterations_or_validations_of_such_a_run(tmp_path):
    plateau = dict(type='ReduceOnPlateauLR', monitor='best/accuracy/top1')
    cfg = by_iteration(tmp_path, dict(interval=1, by_epoch=False), plateau)
    runner, _ = train_in(cfg)
    assert runner.iter == 2
