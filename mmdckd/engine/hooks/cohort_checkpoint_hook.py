# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from typing import Any, Dict, List, Optional

from mmengine.dist import is_main_process, master_only
from mmengine.hooks import CheckpointHook
from mmengine.logging import MessageHub

from mmdckd.console.messages import warn
from mmdckd.engine.resuming import resume_from_latest, resumed_from
from mmdckd.engine.saving import (
    bring,
    give_name,
    leave_names,
    publish,
    remove_files,
    save_whole,
    student_configs,
)
from mmdckd.evaluation.best_rule import records_of
from mmdckd.io.latest import point_to
from mmdckd.io.plain import make_plain
from mmdckd.registry import HOOKS

BEST = 'best.pth'


@HOOKS.register_module()
class CohortCheckpointHook(CheckpointHook):
    """Saves complete checkpoints, with the validation of their weights.

    Arguments and names are those of MMEngine's ``CheckpointHook``. The
    differences:

    - A checkpoint whose epoch (or iteration) is validated is saved again after
      the validation, so that it records the best score and the best student of
      this validation. If the run is killed in between, it records the previous
      validation: ``message_hub.runtime_info.best_student_by`` has the iteration
      of the validation.
    - Files are written under a temporary name and renamed. The files that they
      replace are removed afterwards. So a killed run has a complete checkpoint
      at every moment, and removes obsolete files after it resumes.
    - ``save_last`` also saves where a hook such as ``EarlyStoppingHook`` stops the
      training.
    - ``best.pth`` is a stable name for the best checkpoint
      (``best_<metric>_epoch_<n>.pth``), by the first metric if ``save_best``
      names several. ``'auto'`` is the first metric of the best student.
    - ``last_checkpoint`` and the records in checkpoints hold file names, not
      paths, so a work folder can be copied and moved. Nothing outside it is
      removed.
    - A resumed run keeps the best score of each metric that ``save_best`` still
      names, and starts a new record for the others.
    - ``resume=True`` uses the checkpoint that ``last_checkpoint`` names, or the
      latest complete one.

    Examples:
        >>> default_hooks = dict(
        ...     checkpoint=dict(
        ...         type='mmdckd.CohortCheckpointHook',
        ...         interval=1,
        ...         max_keep_ckpts=3,
        ...         save_best='best/accuracy/top1'))
    """

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._training = False
        # Names of files that the next checkpoint replaces.
        self._superseded: List[str] = []
        # The same as recorded in the checkpoint that was resumed.
        self._resumed: Optional[List[str]] = None
        # The best score and file of each metric in it; older versions have none.
        self._recorded: Optional[Dict[str, Dict[str, Any]]] = None

    def before_run(self, runner) -> None:
        """Find the checkpoint to resume from."""
        resume_from_latest(runner)

    def after_load_checkpoint(self, runner, checkpoint: dict) -> None:
        """Read which files remain to be removed."""
        if runner._resume:
            meta = checkpoint.get('meta', {})
            self._resumed = list(meta.get('superseded', ()))
            self._recorded = meta.get('best')

    def before_train(self, runner) -> None:
        """Take over the files of the run that is resumed."""
        info = runner.message_hub.runtime_info
        if 'keep_ckpt_ids' in info:  # MMEngine builds paths to remove from them
            info['keep_ckpt_ids'] = list(map(int, info['keep_ckpt_ids']))
        super().before_train(runner)
        self._training = True
        self._superseded = []
        if self._resumed is not None:
            self._take_over(runner, self._resumed)
            self._resumed = None

    def after_val_epoch(self, runner, metrics: Optional[Dict[str, Any]] = None) -> None:
        """Save the best checkpoint, and again the one that was validated."""
        if self._training:
            super().after_val_epoch(runner, metrics or {})

    def after_train(self, runner) -> None:
        """Save where the training was stopped, and publish checkpoints if
        ``published_keys`` is set."""
        now = runner.epoch if self.by_epoch else runner.iter
        stopped = getattr(runner.train_loop, 'stop_training', False)
        if stopped and self.save_last and not self._is_saved(now):
            meta = dict(epoch=runner.epoch, iter=runner.iter)
            self._save_checkpoint_with_step(runner, now, meta)
        super().after_train(runner)
        self._training = False

    def before_save_checkpoint(self, runner, checkpoint: dict) -> None:
        """Replace paths by names, record the best scores and the students'
        configs, and keep only tensors, numbers and strings."""
        info = checkpoint['message_hub']['runtime_info']
        leave_names(info)
        meta = checkpoint['meta']
        # RuntimeInfoHook has recorded where the last iteration, or the resumed
        # run, began.
        info.update(epoch=meta['epoch'], iter=meta['iter'])
        meta['best'] = {
            metric: dict(score=info[score], file=info[path])
            for metric, score, path in records_of(self)
            if info.get(path) is not None
        }
        meta['students'] = student_configs(runner.model)
        make_plain(checkpoint)

    def _set_best(self, runner, metric: str, key: str, path: Optional[str]) -> None:
        runner.message_hub.update_info(key, path)
        if len(self.key_indicators) == 1:
            self.best_ckpt_path = path
        else:
            self.best_ckpt_path_dict[metric] = path

    def _take_over(self, runner, superseded: List[str]) -> None:
        """Find the files that the resumed checkpoint names in this folder."""
        info = runner.message_hub.runtime_info
        source = osp.dirname(osp.abspath(resumed_from(runner)))
        if self._recorded is not None:
            self._keep_records(runner.message_hub, self._recorded)
            self._recorded = None
        for metric, score, key in records_of(self):
            if info.get(key) is None:
                continue
            name = osp.basename(info[key])
            path = self._own(name)
            if bring(self.file_backend, osp.join(source, name), path):
                self._set_best(runner, metric, key, path)
                if metric == records_of(self)[0][0]:
                    give_name(self.file_backend, path, self._own(BEST))
            else:
                warn(
                    f'The best checkpoint, {name}, is neither in '
                    f'{self.out_dir} nor beside {resumed_from(runner)}: its '
                    f'best {metric!r} is discarded, and the next validation '
                    'starts a new record.',
                    runner.logger,
                )
                self._set_best(runner, metric, key, None)
                info.pop(score, None)
        if info.get('last_ckpt') is not None:
            self.last_ckpt = self._own(info['last_ckpt'])
            info['last_ckpt'] = self.last_ckpt
        if source == osp.abspath(self.out_dir):
            self._superseded = [osp.basename(name) for name in superseded]
            self._remove_superseded(runner)

    def _keep_records(
        self, hub: MessageHub, recorded: Dict[str, Dict[str, Any]]
    ) -> None:
        """Keep the records of the metrics that ``save_best`` still names, as MMEngine
        would compare the score of one metric with that of another."""
        for name in [*hub.runtime_info]:
            if name.startswith(('best_score', 'best_ckpt')):
                hub.pop_info(name)
        for metric, score, key in records_of(self):
            if metric == 'auto':  # one metric, whose name is not known yet
                metric = next(iter(recorded), metric)
            if metric in recorded:
                hub.update_info(score, recorded[metric]['score'])
                hub.update_info(key, recorded[metric]['file'])

    def _is_saved(self, now: int) -> bool:
        """Return whether the last checkpoint is that of an epoch or iteration."""
        name = self.filename_tmpl.format(now)
        return self.last_ckpt is not None and osp.basename(self.last_ckpt) == name

    def _own(self, path: str) -> str:
        """Return the path of a file in the folder of this run."""
        return self.file_backend.join_path(self.out_dir, osp.basename(path))

    def _save(self, runner, name: str, **kwargs: Any) -> None:
        save_whole(
            runner,
            self.out_dir,
            name,
            file_client_args=self.file_client_args,
            backend_args=self.backend_args,
            **kwargs,
        )

    def _save_checkpoint_with_step(
        self, runner, step: int, meta: Dict[str, int]
    ) -> None:
        """Save a checkpoint, then remove the files that it replaces."""
        if self.max_keep_ckpts > 0:
            kept = self.keep_ckpt_ids
            if not kept or kept[-1] != step:
                if len(kept) == self.max_keep_ckpts:
                    self._superseded.append(self.filename_tmpl.format(kept.popleft()))
                kept.append(step)
                runner.message_hub.update_info('keep_ckpt_ids', list(kept))
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self._own(name)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        self._save(
            runner,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=dict(meta, superseded=list(self._superseded)),
            by_epoch=self.by_epoch,
            **self.args,
        )
        if is_main_process():
            point_to(runner.work_dir, self.last_ckpt)
        self._remove_superseded(runner)

    def _save_best_checkpoint(self, runner, metrics: Dict[str, Any]) -> None:
        """Save the best checkpoint if there is a new one, and the checkpoint of
        this epoch or iteration with its validation."""
        now = runner.epoch if self.by_epoch else runner.iter
        meta = dict(epoch=runner.epoch, iter=runner.iter)
        improved = self.save_best and self._save_best_of(
            runner, metrics, self.filename_tmpl.format(now), meta
        )
        # As in MMEngine, so that a checkpoint records the best score.
        if self._is_saved(now) or improved and self.last_ckpt is not None:
            self._save_checkpoint_with_step(runner, now, meta)
        else:
            self._remove_superseded(runner)

    def _save_best_of(
        self, runner, metrics: Dict[str, Any], filename: str, meta: Dict[str, int]
    ) -> bool:
        """Save a checkpoint for each metric that reached a new best.

        Returns:
            bool: Whether there was one.
        """
        if 'auto' in self.key_indicators:
            self._init_rule(self.rules, [next(iter(metrics))])
        improved = False
        hub = runner.message_hub
        records = records_of(self)
        for (metric, score_key, key), rule in zip(records, self.rules):
            score, best = metrics[metric], self.init_value_map[rule]
            if score_key in hub.runtime_info:
                best = hub.get_info(score_key)
            if score is None or not self.is_better_than[metric](score, best):
                continue
            improved = True
            hub.update_info(score_key, score)
            name = f'best_{metric}_{filename}'.replace('/', '_')
            before = hub.runtime_info.get(key)
            if before and osp.basename(before) != name:
                self._superseded.append(osp.basename(before))
            path = self._own(name)
            self._set_best(runner, metric, key, path)
            self._save(
                runner,
                name,
                save_optimizer=False,
                save_param_scheduler=False,
                meta=dict(meta),
                by_epoch=False,
            )
            if metric == records[0][0]:
                give_name(self.file_backend, path, self._own(BEST))
            unit = 'epoch' if self.by_epoch else 'iter'
            runner.logger.info(
                f'The best checkpoint with {score:0.4f} {metric} at {unit} '
                f'{meta[unit]} is saved to {name}.'
            )
        return improved

    def _remove_superseded(self, runner) -> None:
        info = runner.message_hub.runtime_info
        kept = [self.last_ckpt, *(info.get(k) for *_, k in records_of(self))]
        paths = [p for p in map(self._own, self._superseded) if p not in kept]
        remove_files(runner, self.file_backend, paths)
        self._superseded = []

    @master_only
    def _publish_model(self, runner, ckpt_path: Optional[str]) -> None:
        """Write the published version of a checkpoint."""
        if ckpt_path is not None:  # None if a metric never improved
            publish(runner, ckpt_path, self.published_keys or (), self.backend_args)
