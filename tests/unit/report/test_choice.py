# Copyright (c) mmdckd contributors. All rights reserved.
"""What is best, for everybody who asks."""

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.registry import METRICS

from helpers.runs import run_config, train
from mmdckd.evaluation.best_rule import BestRule, best_of
from mmdckd.export import export_student
from mmdckd.report import weight_files
from mmdckd.report.accuracy_figure import accuracy_figure
from mmdckd.report.choice import Choice, best_point, choose, rules_of
from mmdckd.report.comparison import compare
from mmdckd.report.decision import decide
from mmdckd.report.recorded_run import read_run

NAN = math.nan
#: Values of two students by epoch, with ties and with NaN.
TABLES = [
    ([(50.0, 60.0), (60.0, 50.0), (60.0, 60.0)], ('student1', 1)),
    ([(NAN, NAN), (40.0, NAN), (NAN, 40.0)], ('student0', 2)),
    ([(10.0, NAN), (NAN, 70.0), (70.0, 70.0)], ('student1', 2)),
    ([(0.0, 0.0), (0.0, 0.0)], ('student0', 1)),
]


@METRICS.register_module(force=True)
class Scripted(BaseMetric):
    """Says what a table has for a student in an epoch."""

    default_prefix = 'accuracy'
    table = []
    calls = 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        # The members are evaluated one after the other.
        row, member = divmod(Scripted.calls, Scripted.members)
        Scripted.calls += 1
        values = Scripted.table[row]
        return dict(top1=values[member] if member < len(values) else 30.0)


def records(table):
    return [
        {
            'student0/accuracy/top1': one,
            'student1/accuracy/top1': other,
            'best/accuracy/top1': (one, other)[
                best_of({0: one, 1: other}, 'greater') or 0
            ],
            'step': step,
        }
        for step, (one, other) in enumerate(table, 1)
    ]


def test_the_first_of_equals_and_never_nan():
    assert best_of({'a': 1.0, 'b': 2.0, 'c': 2.0}, 'greater') == 'b'
    assert best_of({'a': 1.0, 'b': 0.5, 'c': 0.5}, 'less') == 'b'
    assert best_of({'a': NAN, 'b': -5.0, 'c': NAN}, 'greater') == 'b'
    assert best_of({'a': NAN, 'b': NAN}, 'less') is None
    assert best_of({'a': -math.inf}, 'greater') is None
    rule = BestRule('x', 'greater', '')
    assert rule.best({'a': dict(x=NAN), 'b': dict(x=NAN)}) == 'a'
    assert rule.best({'a': dict(x=NAN), 'b': dict(x=0.0)}) == 'b'


@pytest.mark.parametrize('table, expected', TABLES)
def test_of_what_was_logged(table, expected):
    rules = rules_of(Config(), records(table))
    assert choose(rules, records(table))[:2] == expected


def test_nothing_where_nothing_is_a_number():
    table = records([(NAN, NAN)] * 2)
    assert choose(rules_of(Config(), table), table) is None
    assert rules_of(Config(), []) is None


def test_follows_what_the_config_follows():
    validation = [
        {'best/nll': 2.0, 'student0/nll': 3.0, 'student1/nll': 2.0, 'step': 1},
        {'best/nll': 1.0, 'student0/nll': 1.0, 'student1/nll': 4.0, 'step': 2},
    ]
    for record, value in zip(validation, (9.0, 7.0)):
        record['ensemble/nll'] = value
        record['ensemble/accuracy/top1'] = value
    hooks = dict(checkpoint=dict(save_best='best/nll', rule='less'))
    rules = rules_of(Config(dict(default_hooks=hooks)), validation)
    assert rules.students.rule == rules.rule == 'less'
    assert choose(rules, validation) == Choice('student0', 2, 1.0)
    # The validation by another value than the students.
    keys = ['ensemble/accuracy/top1', 'best/nll']
    hooks = dict(checkpoint=dict(save_best=keys, rule=['greater', 'less']))
    rules = rules_of(
        Config(dict(default_hooks=hooks, val_cfg=dict(monitor='nll'))), validation
    )
    assert (rules.key, rules.rule) == ('ensemble/accuracy/top1', 'greater')
    assert choose(rules, validation) == Choice('student1', 1, 2.0)


def test_a_rule_that_is_not_said_follows_from_the_metric():
    validation = [
        {'student0/log_loss': value, 'best/log_loss': value, 'step': step}
        for step, value in ((1, 2.0), (2, 1.0))
    ]
    for hooks in ({}, dict(checkpoint=dict(save_best='best/log_loss'))):
        rules = rules_of(Config(dict(default_hooks=hooks)), validation)
        assert choose(rules, validation) == Choice('student0', 2, 1.0)


@pytest.mark.parametrize(
    'graduate, expected',
    [
        ('student1', ('student1', 2, 60.0)),
        (['student1', 'student0'], ('student0', 1, 90.0)),
        (None, ('student0', 1, 90.0)),
    ],
)
def test_among_the_graduates(graduate, expected):
    validation = [
        {'student0/accuracy/top1': 90.0, 'student1/accuracy/top1': 50.0, 'step': 1},
        {'student0/accuracy/top1': 80.0, 'student1/accuracy/top1': 60.0, 'step': 2},
    ]
    for record in validation:
        record['best/accuracy/top1'] = record[f'{expected[0]}/accuracy/top1']
    config = Config(dict(model=dict(folds=dict(graduate=graduate))))
    assert choose(rules_of(config, validation), validation) == expected


def test_a_network_alone():
    validation = [{'multi-label/mAP': v, 'step': i} for i, v in enumerate((3.0, 5.0))]
    rules = rules_of(Config(), validation)
    assert choose(rules, validation) == Choice('model', 1, 5.0)


def test_a_point_of_curves():
    assert best_point(dict(a={1: 5.0, 3: 7.0}, b={2: 7.0, 3: 8.0})) == ('b', 3, 8.0)
    assert best_point(dict(a={2: 7.0}, b={1: 7.0})) == ('b', 1, 7.0)
    assert best_point({}) is None


@pytest.mark.parametrize('table, expected', TABLES)
def test_loop_checkpoint_export_chart_and_table_agree(
    table, expected, tmp_path, monkeypatch
):
    Scripted.table, Scripted.calls, Scripted.members = table, 0, 3
    cfg = run_config(
        tmp_path,
        val_evaluator=dict(type='Scripted'),
        train_cfg=dict(by_epoch=True, max_epochs=len(table), val_interval=1),
        custom_hooks=[dict(type='mmdckd.CohortStatisticsHook')],
    )
    cfg.model.update(teacher=None, allow_random_teacher=False)
    cfg.model.distiller.collective_losses.loss_dckd.update(alpha=0.0)
    cfg.train_dataloader.dataset.indices = 32
    cfg.val_dataloader.dataset.indices = 20
    folder = Path(train(cfg).work_dir)
    student, epoch = expected

    checkpoint = torch.load(folder / 'best.pth', weights_only=True)
    info = checkpoint['message_hub']['runtime_info']
    assert (info['best_student'], checkpoint['meta']['epoch']) == expected
    exported = export_student(str(folder / 'best.pth'), str(folder / 'export'), cfg=cfg)
    assert exported.name == student

    run = read_run(str(folder))
    assert run.best[:2] == expected
    figure = accuracy_figure(run.curves(run.metric), run.best)
    (ring,) = (line for line in figure.axes[0].lines if line.get_markersize() == 12)
    assert list(ring.get_xdata()) == [epoch]
    (text,) = dict(compare([run]))['best student']
    assert f'({student}, epoch {epoch})' in text
    decision = decide(run)
    assert decision.use == f'{student}, epoch {epoch}'
    assert decision.file == exported.config and decision.is_exported
    (chosen,) = (row for row in decision.rows if row.chosen)
    assert chosen.member == student
    # Statistics are those of the same validation.
    assert int(run.statistics['step']) == epoch

    # Without the export, the file is the checkpoint; without it, none.
    weights = folder / 'export' / f'{student}.pth'
    weights.write_bytes(weights.read_bytes()[:1000])
    warned = []
    monkeypatch.setattr(weight_files, 'warn', warned.append)
    assert decide(run).file == str(folder / 'best.pth')
    assert len(warned) == 1 and str(weights) in warned[0]
    weights.unlink()
    assert decide(run).file == str(folder / 'best.pth')
    for path in folder.glob('*.pth'):
        path.unlink()
    assert decide(run).file is None
    assert decide(run).sentence.startswith(f'Use {student}, epoch {epoch}: ')
