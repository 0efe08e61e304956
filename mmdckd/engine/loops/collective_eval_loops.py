# Copyright (c) mmdckd contributors. All rights reserved.
import copy
from typing import Any, Dict, List, Optional, Sequence, Union

import torch
from mmengine.evaluator import DumpResults, Evaluator
from mmengine.hooks import Hook
from mmengine.runner import TestLoop, ValLoop, autocast
from mmengine.structures import BaseDataElement
from torch.utils.data import DataLoader

from mmdckd import names
from mmdckd.console.messages import warn
from mmdckd.engine.unwrapping import unwrapped
from mmdckd.evaluation.best_rule import (
    RULES,
    BestRule,
    choose_rule,
    is_number,
    saved_by,
)
from mmdckd.evaluation.metric_names import metrics_to_come
from mmdckd.io.best_student import best_student_of
from mmdckd.registry import LOOPS


class _MemberEvaluation:
    """Evaluates every member of a cohort on the same batches."""

    #: 'val' or 'test', as in the names of MMEngine's hook methods.
    stage: str
    # Attributes of the MMEngine loop that this class is mixed into.
    runner: Any
    dataloader: Any
    fp16: bool
    #: Each member's predictions for the last batch, for hooks to read.
    members: Dict[str, List[BaseDataElement]]

    def __init__(
        self,
        runner,
        dataloader: Union[DataLoader, Dict],
        evaluator: Union[Evaluator, Dict, List],
        fp16: bool = False,
        monitor: Optional[str] = None,
        rule: Optional[str] = None,
    ) -> None:
        super().__init__(  # type: ignore[call-arg]
            runner, dataloader, evaluator, fp16
        )
        if rule not in (None, *RULES):
            raise ValueError(
                f'Invalid `{self.stage}_cfg.rule`: expected one '
                f'of {RULES}, got {rule!r}.'
            )
        self.monitor = monitor
        self.rule = rule
        #: The rule that chooses the best student, once the metrics are known.
        self.best_rule: Optional[BestRule] = None
        self._template = self.evaluator
        if not self._template.metrics:
            raise ValueError(
                f'Invalid `{self.stage}_evaluator`: expected at least one metric, '
                "such as dict(type='Accuracy'), got none."
            )
        if any(isinstance(each, DumpResults) for each in self._template.metrics):
            raise ValueError(
                f'Invalid `{self.stage}_evaluator`: expected metrics that return '
                'numbers, got DumpResults, whose file every member would overwrite. '
                'Export a student, and write its predictions.'
            )
        self.evaluator = _MembersEvaluator(self, self._template)
        self._teacher_results: Optional[Dict[str, Dict]] = None

    @property
    def _model(self):
        return unwrapped(self.runner.model)

    def metrics_to_come(self) -> Optional[Dict[str, Any]]:
        """Return the metrics of :meth:`run` with made-up values, and set
        :attr:`best_rule`; None if the metrics are not known yet.

        Raises:
            ValueError: If no metric can be used to choose the best student.
        """
        model = self._model
        cohort = model.cohort
        values = metrics_to_come(self._template, cohort.num_classes or 10)
        if values is None:
            return None
        self._settle_rule(values)
        members = [names.BEST, *cohort.names, *model.teacher_names]
        if len(cohort.names) > 1:
            members.append(names.ENSEMBLE)
        return {
            names.metric_name(member, metric): value
            for member in members
            for metric, value in values.items()
        }

    def _settle_rule(self, values: Dict[str, Any]) -> BestRule:
        if self.best_rule is None:
            self.best_rule = choose_rule(
                values,
                f'{self.stage}_cfg',
                saved_by(self.runner.hooks),
                self.monitor,
                self.rule,
            )
        return self.best_rule

    def run(self) -> Dict[str, float]:
        """Evaluate all members.

        Returns:
            Dict[str, float]: ``<member>/<metric>`` for every student, the
            ensemble, the teacher and, as ``best``, the best student.
        """
        call = self.runner.call_hook
        call(f'before_{self.stage}')
        call(f'before_{self.stage}_epoch')
        self.runner.model.eval()
        self._evaluators: Dict[str, Evaluator] = {}
        for idx, data_batch in enumerate(self.dataloader):
            self.run_iter(idx, data_batch)
        metrics = self._evaluate()
        call(f'after_{self.stage}_epoch', metrics=metrics)
        call(f'after_{self.stage}')
        return metrics

    @torch.no_grad()
    def run_iter(self, idx: int, data_batch: Sequence[dict]) -> None:
        """Run one batch once through every member."""
        hook = dict(batch_idx=idx, data_batch=data_batch)
        self.runner.call_hook(f'before_{self.stage}_iter', **hook)
        model = self._model
        with autocast(enabled=self.fp16):
            data = model.data_preprocessor(data_batch, False)
            self.members = members = model.predict_members(
                **data, teacher=self._teacher_results is None
            )
        for name, predictions in members.items():
            if name not in self._evaluators:
                self._evaluators[name] = copy.deepcopy(self._template)
            self._evaluators[name].process(
                data_samples=predictions, data_batch=data_batch
            )
        self.runner.call_hook(
            f'after_{self.stage}_iter', outputs=members[model.cohort.names[0]], **hook
        )

    def _evaluate(self, note_best: bool = True) -> Dict[str, float]:
        size = len(self.dataloader.dataset)
        results = {
            name: evaluator.evaluate(size)
            for name, evaluator in self._evaluators.items()
        }
        self._evaluators = {}
        teachers = self._teacher_results
        if teachers is None:
            teachers = {
                name: results.pop(name)
                for name in self._model.teacher_names
                if name in results
            }
        # A frozen teacher always gives the same result: evaluate it once.
        if not self._model.teacher_trainable:
            self._teacher_results = teachers
        best = self._best_student(results)
        # First, because `save_best='auto'` follows the first metric.
        results = {names.BEST: results[best], **results}
        if note_best:
            self._note_best(best)
        results.update(teachers)
        return {
            names.metric_name(member, metric): value
            for member, metrics in results.items()
            for metric, value in metrics.items()
        }

    def _best_student(self, results: Dict[str, Dict[str, float]]) -> str:
        own = {name: results[name] for name in self._model.cohort.deployed}
        return self._settle_rule(next(iter(own.values()))).best(own)

    def _note_best(self, name: str) -> None:
        """Record the name of the best student."""


class _MembersEvaluator(Evaluator):
    """Evaluates all members for a hook that runs the batches a second time.

    MMPretrain's ``EMAHook`` does this with the original weights if asked to
    evaluate both. The best student is still chosen by the averaged weights,
    which are the ones in checkpoints.
    """

    def __init__(self, loop: _MemberEvaluation, template: Evaluator) -> None:
        super().__init__(())
        self.metrics = template.metrics  # shared, because others may append to it
        self._dataset_meta = template.dataset_meta
        self._loop = loop

    def evaluate(self, size: int) -> Dict[str, float]:
        return self._loop._evaluate(note_best=False)


@LOOPS.register_module()
class CollectiveValLoop(_MemberEvaluation, ValLoop):
    """Validates every student, their ensemble and the teacher in one pass.

    Each batch is loaded and preprocessed once and run once through every
    member. The metrics are those of the evaluator, named
    ``<student>/<metric>``, ``ensemble/<metric>``, ``teacher/<metric>``
    (computed only in the first validation, because a frozen teacher does not
    change) and ``best/<metric>``, those of the best student by ``monitor``. So
    ``CheckpointHook(save_best='best/accuracy/top1')`` works. The message hub
    and checkpoints keep the best student's name as ``best_student``, and the
    epoch, iteration and metric as ``best_student_by``.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader | dict): The data loader.
        evaluator (Evaluator | dict | list): The evaluator; every member gets
            a copy.
        fp16 (bool): Whether to run under autocast. Defaults to False.
        monitor (str, optional): The metric that chooses the best student.
            Defaults to None: the one in ``save_best`` of ``CheckpointHook``, or
            else the first that is one number.
        rule (str, optional): Whether a ``'greater'`` or ``'less'`` value is
            better. Defaults to None: the rule of ``save_best`` if it names the
            metric, otherwise inferred from the name, as in ``CheckpointHook``.
    """

    stage = 'val'

    def _note_best(self, name: str) -> None:
        hub = self.runner.message_hub
        hub.update_info('best_student', name)
        # So that a reader of the checkpoint knows whether it was of its weights.
        hub.update_info(
            'best_student_by',
            dict(
                epoch=self.runner.epoch,
                iter=self.runner.iter,
                metric=self.best_rule and self.best_rule.metric,
            ),
        )


@LOOPS.register_module()
class CollectiveTestLoop(_MemberEvaluation, TestLoop):
    """Tests every student, their ensemble and the teacher in one pass.

    ``best`` is the student that was best in the validation of the checkpoint,
    so nothing is chosen on the test split. If the checkpoint has no validation
    of its own, it is the one of the previous validation; if there was none, the
    best on this split. A warning says so. The loop registers a hook that reads
    ``best_student`` from the checkpoint.

    Args:
        runner (Runner): The runner.
        dataloader (DataLoader | dict): The data loader.
        evaluator (Evaluator | dict | list): The evaluator; every member gets
            a copy.
        fp16 (bool): Whether to run under autocast. Defaults to False.
        monitor (str, optional): As of :class:`CollectiveValLoop`: the metric
            that chooses the best student, here only if no validation has.
        rule (str, optional): As of :class:`CollectiveValLoop`.
    """

    stage = 'test'

    def __init__(self, runner, *args, **kwargs) -> None:
        super().__init__(runner, *args, **kwargs)
        runner.register_hook(_RecallBestStudent())

    def _best_student(self, results: Dict[str, Dict[str, float]]) -> str:
        best = self.runner.message_hub.get_info('best_student')
        if best in results:
            if any(map(is_number, results[best].values())):
                self._settle_rule(results[best])
            return best
        best = super()._best_student(results)
        warn(
            'The checkpoint names no best student in validation: "best" '
            f'is {best}, the best on this split.',
            self.runner.logger,
        )
        return best


class _RecallBestStudent(Hook):
    """Reads the best student's name from the loaded checkpoint."""

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        best = best_student_of(checkpoint)
        if best is not None:
            runner.message_hub.update_info('best_student', best.name)
            if best.note:
                warn(
                    f'The checkpoint: {best.note}. "best" is {best.name}.',
                    runner.logger,
                )
