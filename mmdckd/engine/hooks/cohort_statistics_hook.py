# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop
from mmengine.structures import BaseDataElement

from mmdckd.console.messages import warn
from mmdckd.engine.unwrapping import unwrapped
from mmdckd.errors import invalid
from mmdckd.evaluation import MOST_CLASSES, MOST_IMAGES, CohortSums, Predictions, soften
from mmdckd.evaluation.best_rule import is_record
from mmdckd.io.files import replacing
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.models.tasks import Classification, find_task
from mmdckd.names import MODEL, distinct_names, target_names, with_stage
from mmdckd.registry import HOOKS
from mmdckd.values import is_whole

from ..checks.class_names import names_of_dataset
from ..loops import CollectiveValLoop
from ..own_samples import OwnSamples

FILE_NAME = 'cohort_statistics.npz'
#: The same for the validation that ``save_best`` kept.
BEST_NAME = 'best_statistics.npz'
# Upper bound on the stored scores of frozen teachers, which take 0.8 GB.
_MOST_SCORES = 200_000_000


@HOOKS.register_module()
class CohortStatisticsHook(Hook):
    """Records at every validation what the members of a cohort have learned,
    beyond their accuracy.

    It reads the predictions that
    :class:`~mmdckd.engine.loops.CollectiveValLoop` keeps as ``members``, so it
    runs no network. :class:`~mmdckd.evaluation.CohortSums` and
    :class:`~mmdckd.evaluation.PredictionSums` define the quantities. Beside the
    members there is ``target``: what the collector of the collective loss makes
    of the students' predictions for these images (``target.<loss>`` if several
    losses collect).

    - Scalars are logged with the metrics, as ``<member>/<statistic>``, to
      ``scalars.json``, TensorBoard, ... Those of a single network have no
      prefix.
    - Class correlations, confusions, calibration and agreement of the last
      validation are saved to
      ``<work_dir>/<time>/vis_data/cohort_statistics.npz`` for ``mmdckd report``:
      the result of :meth:`~mmdckd.evaluation.CohortSums.arrays`, ``step`` and
      the names of the ``classes``; and, for up to 100,000 images, each member's
      predictions (:meth:`~mmdckd.evaluation.Predictions.arrays`). Those of the
      best validation by ``save_best`` are in ``best_statistics.npz`` beside it.
    - The class correlations are drawn for the visualizer at intervals and after
      the last validation.

    It skips validations of images with several labels each. With more than
    2,000 classes, matrices of classes by classes are not kept, and if the
    scores of a frozen teacher for all images would be more than 2e8 numbers, the
    teacher is left out; the log says so.

    Args:
        image_interval (int): Epochs between two drawings of the class
            correlations; in a run by iterations, validations. Defaults to 5.

    Raises:
        ValueError: If ``image_interval`` is not a positive integer, or the
            order of the images changes between validations: a teacher that is
            evaluated once could not be compared with the students.

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.CohortStatisticsHook')]
    """

    # After RuntimeInfoHook, which stores the metrics, before LoggerHook.
    priority = 'NORMAL'

    #: The temperature of softened predictions and targets, the same for all
    #: runs so that they are comparable.
    TAU = 4.0

    def __init__(self, image_interval: int = 5) -> None:
        if not is_whole(image_interval, least=1):
            raise invalid(
                'CohortStatisticsHook.image_interval',
                'a positive integer',
                image_interval,
            )
        self.image_interval = image_interval
        # For teachers that are evaluated only in the first validation: labels
        # and scores of each batch.
        self._asked: List[Tuple[torch.Tensor, Dict[str, torch.Tensor]]] = []
        self._sums: Optional[CohortSums] = None
        self._predictions = Predictions()
        self._told = False

    def before_val_epoch(self, runner) -> None:
        """Reset the sums."""
        self._own = OwnSamples(runner.val_dataloader)
        self._sums = None
        self._predictions = Predictions()
        if not _task_of(runner.model).exclusive:
            _warn_of_labels(runner)
            return
        cohort = self._cohort(runner)
        self._sums = CohortSums(
            cohort.cohort.names if cohort else [MODEL],
            cohort.teacher_names if cohort else [],
            self.TAU,
        )

    @torch.no_grad()
    def after_val_iter(
        self,
        runner,
        batch_idx: int,
        data_batch: Optional[dict] = None,
        outputs: Optional[List[BaseDataElement]] = None,
    ) -> None:
        """Add the predictions for a batch."""
        if self._sums is None or outputs is None:
            return
        if not _one_label_each(outputs):
            _warn_of_labels(runner)
            self._sums = None
            return
        cohort = self._cohort(runner)
        members = runner.val_loop.members if cohort else {MODEL: outputs}
        scores = {
            name: torch.stack([sample.pred_score for sample in samples])
            for name, samples in members.items()
        }
        labels = torch.cat([sample.gt_label for sample in outputs])
        labels = labels.to(outputs[0].pred_score.device)
        kept = (
            len(runner.val_dataloader.dataset)
            * outputs[0].pred_score.numel()
            * (len(cohort.teacher_names) if cohort else 0)
        )
        without = cohort and not cohort.teacher_trainable and kept > _MOST_SCORES
        if cohort and without:
            for name in cohort.teacher_names:
                scores.pop(name, None)
        elif cohort:
            self._recall_teachers(cohort, batch_idx, scores, labels)
        labels = labels[: self._own.take(len(outputs))]
        scores = {name: each[: len(labels)] for name, each in scores.items()}
        self._sums.add(scores, labels)
        if len(runner.val_dataloader.dataset) <= MOST_IMAGES:
            own = outputs[: len(labels)]
            self._predictions.add(
                scores,
                labels,
                [sample.get('sample_idx', -1) for sample in own],
                [str(sample.get('img_path') or '') for sample in own],
            )
        if not self._told:
            self._told = True
            self._tell(runner, bool(without))
        if cohort:
            for name, targets in self._collect(cohort, scores, labels):
                self._sums.add_target(name, targets, labels)

    def after_val_epoch(
        self, runner, metrics: Optional[Dict[str, float]] = None
    ) -> None:
        """Log and save the statistics of the validation."""
        # Together, because one process alone may have met several labels.
        recorded = torch.tensor(self._sums is not None, dtype=torch.int)
        all_reduce(recorded, 'min')
        if not recorded:
            return
        assert self._sums is not None
        self._sums.reduce()
        for name, value in self._sums.scalars().items():
            runner.message_hub.update_scalar(with_stage('val', name), value)
        predictions = self._predictions.arrays()
        if is_main_process():
            hub = runner.message_hub
            best = is_record(metrics or {}, runner.hooks, hub.runtime_info)
            self._write(runner, {**self._sums.arrays(), **predictions}, best)

    def _tell(self, runner, without_teachers: bool) -> None:
        """Log what is too large to be recorded."""
        assert self._sums is not None
        if not self._sums.has_matrices:
            runner.logger.info(
                'CohortStatisticsHook records no class correlations and '
                f'confusions: {self._sums.num_classes:,} classes exceed the '
                f'limit of {MOST_CLASSES:,}.'
            )
        if without_teachers:
            runner.logger.info(
                'CohortStatisticsHook leaves the teacher out: its scores for all '
                'images would take too much memory.'
            )

    def _write(self, runner, arrays: Dict[str, Any], best: bool) -> None:
        # As LoggerHook does, because `runner.train_loop` would build a loop.
        training = runner._train_loop
        step = last = 0
        interval = self.image_interval
        if isinstance(training, IterBasedTrainLoop):
            step, last = runner.iter, runner.max_iters
            interval *= training.val_interval
        elif training is not None and not isinstance(training, dict):
            step, last = runner.epoch, runner.max_epochs
        arrays = dict(arrays, step=np.array(step))
        assert self._sums is not None
        count = self._sums.num_classes
        classes = names_of_dataset(runner.val_dataloader.dataset) or ()
        if len(classes) != count:
            classes = tuple(map(str, range(count)))
        arrays['classes'] = np.array(distinct_names(classes)).astype(str)
        for name in (FILE_NAME, *[BEST_NAME] * best):
            path = osp.join(runner.log_dir, 'vis_data', name)
            with replacing(path) as beside:
                with open(beside, 'wb') as file:
                    np.savez_compressed(file, **arrays)
        if self._sums.has_matrices and (step % interval == 0 or step == last):
            # Not with the other imports, because importing matplotlib is slow.
            from mmdckd.visualization.matrix_figures import draw_correlations
            from mmdckd.visualization.style import to_image

            runner.visualizer.add_image(
                'class_correlation', to_image(draw_correlations(arrays)), step
            )

    @staticmethod
    def _cohort(runner) -> Optional[CollectiveDistill]:
        """Return the cohort if all of it is validated."""
        if not isinstance(runner.val_loop, CollectiveValLoop):
            return None
        return unwrapped(runner.model)

    def _recall_teachers(
        self,
        cohort: CollectiveDistill,
        batch_idx: int,
        scores: Dict[str, torch.Tensor],
        labels: torch.Tensor,
    ) -> None:
        """Store what frozen teachers predict, or add what they predicted."""
        if cohort.teacher_trainable or not cohort.teachers:
            return
        asked = {
            name: scores[name].cpu() for name in cohort.teacher_names if name in scores
        }
        if asked:
            self._asked[batch_idx:] = [(labels.cpu(), asked)]
            return
        before, asked = self._asked[batch_idx]
        if not torch.equal(before, labels.cpu()):
            raise ValueError(
                'Invalid `val_dataloader.sampler`: expected the same order of '
                'images in every validation, because the teacher is evaluated '
                'only once, got another. Set `val_dataloader.sampler.shuffle='
                'False`, or remove `CohortStatisticsHook`.'
            )
        scores.update((name, each.to(labels.device)) for name, each in asked.items())

    def _collect(
        self,
        cohort: CollectiveDistill,
        scores: Dict[str, torch.Tensor],
        labels: torch.Tensor,
    ) -> List[Tuple[str, torch.Tensor]]:
        """Return what every collector makes of the students' predictions."""
        others = (cohort.lagged_peers, cohort.finished_peers)
        if any(each is not None for each in others) or not (
            set(cohort.teacher_names) <= set(scores)
        ):
            return []  # The peers that it collects from do not predict here.
        names, teachers = cohort.cohort.names, cohort.teacher_names
        losses = {
            name: loss
            for name, loss in cohort.distiller.collective_losses.items()
            if hasattr(loss, 'collector')
            and 'collective' in loss.sources(0, names, teachers)
        }
        if not losses:
            return []
        students, known = (
            torch.stack([soften(scores[name].float(), self.TAU) for name in chosen])
            if chosen
            else None
            for chosen in (names, teachers)
        )
        return [
            (name, loss.collector(None, students, known, labels, self.TAU))
            for name, loss in zip(target_names(losses), losses.values())
        ]


def _task_of(model) -> Classification:
    model = unwrapped(model)
    return getattr(model, 'task', None) or find_task(None, dict(model=model))


def _warn_of_labels(runner) -> None:
    warn(
        'CohortStatisticsHook needs images with one label each, and records nothing.',
        runner.logger,
    )


def _one_label_each(samples: List[BaseDataElement]) -> bool:
    return all(
        'gt_label' in sample and sample.gt_label.numel() == 1 for sample in samples
    )
