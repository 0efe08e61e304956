# Copyright (c) mmdckd contributors. All rights reserved.
import os
import os.path as osp
import signal
import threading
from functools import partial
from typing import Any, Callable, Dict, Optional

import torch
from mmengine.dist import all_reduce, barrier, get_world_size, master_only
from mmengine.hooks import Hook

from mmdckd.console.messages import warn
from mmdckd.engine.loops.exact_train_loops import ExactTrainLoop
from mmdckd.engine.saving import checkpoint_folder, checkpoint_hook, save_whole
from mmdckd.io.latest import point_to, pointed_to
from mmdckd.registry import HOOKS

#: EX_TEMPFAIL of sysexits.h: it failed for now, try again.
RESUME_ME = 75


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Ends a run that is told to, so that it can be resumed.

    On SIGTERM or SIGUSR1, by which cluster managers announce the end of a
    job, and on Ctrl-C, the iteration is finished, ``interrupted.pth`` is
    saved beside the other checkpoints, and the process exits: with code 75
    (EX_TEMPFAIL, "try again"), after Ctrl-C with 130. A resumed run is the
    run that was never interrupted, as :class:`ExactResumeHook` sees to it. A
    second Ctrl-C ends the process at once.

    A signal that comes during a validation is heeded after it. With
    accumulated gradients, the run ends after a step of the optimizer. Workers
    that load data leave the signals to the process they work for: the
    ``worker_init_fn`` of the dataloaders of training and validation is
    wrapped.

    Raises:
        ValueError: Before the first step, if there is no ``ExactResumeHook``.

    Examples:
        >>> default_hooks = dict(
        ...     exact_resume=dict(type='mmdckd.ExactResumeHook'),
        ...     preemption=dict(type='mmdckd.PreemptionHook'))
    """

    priority = 'LOWEST'
    FILENAME = 'interrupted.pth'
    SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)

    #: In several processes, after how many iterations they ask each other
    #: whether one was told to end; it takes a reduction of one number.
    INTERVAL = 10

    def __init__(self) -> None:
        self._received = 0
        self._previous: Dict[int, Any] = {}

    def before_train(self, runner) -> None:
        """Listen to the signals."""
        if not isinstance(runner.train_loop, ExactTrainLoop):
            raise ValueError(
                '`PreemptionHook` saves inside an epoch, and MMEngine does '
                'not resume there: add `exact_resume=dict(type='
                "'mmdckd.ExactResumeHook')` to `default_hooks`."
            )
        self._received = 0
        loops = [runner.train_loop, runner.val_loop]
        for loader in [loop.dataloader for loop in loops if loop is not None]:
            if getattr(loader.worker_init_fn, 'func', None) is not _shield:
                loader.worker_init_fn = partial(_shield, loader.worker_init_fn)
        if threading.current_thread() is threading.main_thread():
            self._previous = {
                number: signal.signal(number, self._receive) or signal.SIG_DFL
                for number in self.SIGNALS
            }
            runner.train_loop.at_end.callback(self._listen_no_longer)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: Optional[dict] = None
    ) -> None:
        """End the run, if it was told to."""
        iteration = runner.iter + 1
        step_done = getattr(runner.optim_wrapper, 'should_update', None)
        if step_done is not None and not step_done():
            return
        if get_world_size() == 1 or iteration % self.INTERVAL == 0:
            self._end_if_told(runner, dict(epoch=runner.epoch, iter=iteration))

    def after_val(self, runner) -> None:
        """End the run, if it was told to during validation."""
        if self._previous:
            self._end_if_told(runner, dict(epoch=runner.epoch, iter=runner.iter))

    def after_train(self, runner) -> None:
        """Drop what nothing will be resumed from."""
        self._drop_checkpoint(runner)

    def _receive(self, number: int, frame) -> None:
        # Nothing else may be done here, amidst whatever the process does.
        self._received = self._received or number
        if number == signal.SIGINT:
            self._restore(signal.SIGINT)
            os.write(
                2,
                b'\nSaving after this iteration. Press Ctrl-C once more '
                b'to stop at once.\n',
            )

    def _listen_no_longer(self) -> None:
        self._restore(*self._previous)
        self._previous = {}

    def _restore(self, *numbers: int) -> None:
        for number in numbers:
            signal.signal(number, self._previous[number])

    def _end_if_told(self, runner, meta: Dict[str, int]) -> None:
        received = torch.tensor(self._received)
        all_reduce(received, 'max')
        if not received:
            return
        path = self._save(runner, meta)
        # Whoever ends first makes launchers end the others.
        barrier()
        name = signal.Signals(int(received)).name
        warn(
            f'Interrupted by {name} after iteration {meta["iter"]}. To go on '
            'from there, start the same command again with `--resume` '
            f'(`resume=True`); what was saved is {path}',
            runner.logger,
        )
        raise SystemExit(130 if name == 'SIGINT' else RESUME_ME)

    def _save(self, runner, meta: Dict[str, int]) -> str:
        hook = checkpoint_hook(runner)
        folder = checkpoint_folder(runner)
        save_whole(
            runner,
            folder,
            self.FILENAME,
            save_param_scheduler=runner.param_schedulers is not None,
            meta=meta,
            backend_args=hook.backend_args if hook else None,
        )
        path = osp.join(folder, self.FILENAME)
        master_only(point_to)(runner.work_dir, path)
        return path

    @master_only
    def _drop_checkpoint(self, runner) -> None:
        path = osp.join(checkpoint_folder(runner), self.FILENAME)
        named = osp.basename(pointed_to(runner.work_dir))
        if osp.isfile(path) and named not in ('', self.FILENAME):
            os.remove(path)


def _shield(init: Optional[Callable], worker_id: int) -> None:
    """Let a worker live on when a whole job is told to end.

    Were it to die, the process it works for would fail amidst a step. It
    ends, as ever, when that process tells it to.

    Args:
        init (Callable, optional): What else to do when a worker starts.
        worker_id (int): The number of the worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    parent = os.getppid()
    # Who has sent a signal is told to a thread that waits for it, and to no
    # handler of Python.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    def obey_parent() -> None:
        while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
            pass
        os._exit(0)

    threading.Thread(target=obey_parent, daemon=True).start()
    if init is not None:
        init(worker_id)
