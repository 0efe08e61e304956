# Copyright (c) mmdckd contributors. All rights reserved.
import os.path as osp
from tempfile import TemporaryDirectory
from typing import Optional

from mmengine.config import Config
from mmengine.dist import is_main_process
from mmengine.hooks import CheckpointHook, Hook

from mmdckd.console.messages import warn
from mmdckd.engine.saving import checkpoint_folder
from mmdckd.engine.unwrapping import unwrapped
from mmdckd.evaluation.best_rule import records_of
from mmdckd.export import export_student, plain_config
from mmdckd.export.student import warn_of_older_files
from mmdckd.models.cohorts import StudentCohort
from mmdckd.names import BEST
from mmdckd.registry import HOOKS


@HOOKS.register_module()
class ExportStudentHook(Hook):
    """Writes a student as a plain MMPretrain model at the end of training.

    It calls :func:`~mmdckd.export.export_student`, which writes
    ``<student>.py`` and ``<student>.pth`` to the folder ``exported`` in the work
    folder. They need neither mmdckd nor mmrazor.

    The weights are those of the checkpoint that ``CheckpointHook(save_best=
    ...)`` has kept (the first of several), and the best student is the one
    that was best in that validation. Without ``save_best`` they are the final
    weights, averaged if an ``EMAHook`` averages them, and the best student is
    that of the last validation.

    Whether the student can be plain is checked before training.

    Args:
        student (str): The name of a student, or ``'best'``. Defaults to
            ``'best'``; a run that never validates has none, and the log says
            so.

    Raises:
        ValueError: Before the first step, if the model has no cohort or no
            such student, or if the student has parts that MMPretrain does
            not have.

    Examples:
        >>> custom_hooks = [dict(type='mmdckd.ExportStudentHook')]
    """

    def __init__(self, student: str = BEST) -> None:
        self.student = student
        self._cfg: Optional[Config] = None

    def before_train(self, runner) -> None:
        """Check that the student can be exported."""
        model = unwrapped(runner.model)
        cohort = getattr(model, 'cohort', None)
        if not isinstance(cohort, StudentCohort):
            raise ValueError(
                'Invalid `model.type`: expected mmdckd.CollectiveDistill with '
                '`ExportStudentHook`, which exports a student of a cohort, got '
                f'{type(model).__name__}.'
            )
        if self.student not in (BEST, *cohort.names):
            raise ValueError(
                f"Invalid `ExportStudentHook.student`: expected 'best' or one of "
                f'{cohort.names}, got {self.student!r}.'
            )
        # The networks as they were built, because the config file of a student
        # may change during training.
        self._cfg = Config(
            dict(
                runner.cfg.to_dict(),
                model=dict(
                    students=cohort.configs,
                    data_preprocessor=cohort.data_preprocessor_cfg,
                ),
            )
        )
        for name in cohort.names:
            if self.student in (BEST, name):
                plain_config(self._cfg, name)
        if self.student == BEST and runner.val_loop is None:
            warn(
                'ExportStudentHook will export nothing, because without validation '
                'no student is known to be best. Set its `student` to one '
                f'of {cohort.names}.',
                runner.logger,
            )

    def check_settings(self, runner) -> None:
        """Check a run that will not be trained, as a rehearsal does."""
        self.before_train(runner)

    def after_train(self, runner) -> None:
        """Export the student."""
        if self.student == BEST and runner.message_hub.get_info('best_student') is None:
            warn(
                'ExportStudentHook exports nothing, because no validation by '
                'mmdckd.CollectiveValLoop has determined the best student. '
                '`mmdckd export` exports any student of a checkpoint.',
                runner.logger,
            )
            return
        out_dir = osp.join(runner.work_dir, 'exported')
        best = _best_checkpoint(runner)
        if best is not None and not osp.isfile(best):
            warn(
                f'ExportStudentHook exports nothing, because the best checkpoint, '
                f'{best}, is gone. `mmdckd export` exports a student of another '
                'one.',
                runner.logger,
            )
            return
        with TemporaryDirectory() as folder:
            checkpoint = best or _save_final_weights(runner, folder)
            if not is_main_process():
                return
            exported = export_student(checkpoint, out_dir, self.student, self._cfg)
        warn_of_older_files(exported)
        runner.logger.info(
            f'Exported {exported.name} of {osp.basename(checkpoint)} for '
            f'MMPretrain: {exported.config} and {exported.checkpoint}'
        )


def _best_checkpoint(runner) -> Optional[str]:
    """Return the path of the checkpoint that ``save_best`` kept, if any."""
    for hook in runner.hooks:
        if isinstance(hook, CheckpointHook) and hook.save_best:
            path = runner.message_hub.get_info(records_of(hook)[0][2])
            if path:  # in this folder, also where it says another
                return osp.join(checkpoint_folder(runner), osp.basename(path))
    return None


def _save_final_weights(runner, folder: str) -> str:
    """Save the weights as a checkpoint of the run would; all processes must
    call it."""
    runner.save_checkpoint(
        folder,
        'final.pth',
        save_optimizer=False,
        save_param_scheduler=False,
        meta=dict(epoch=runner.epoch, iter=runner.iter),
    )
    return osp.join(folder, 'final.pth')
