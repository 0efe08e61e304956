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

#: EX_TEMPFAIL of sysexits.h: a temporary failure, try again.
RESUME_ME = 75


@HOOKS.register_module()
class PreemptionHook(Hook):
    """Saves and ends a run that is asked to stop, so that it can be resumed.

    On SIGTERM or SIGUSR1, with which cluster managers announce the end of a
    job, and on Ctrl-C, it finishes the iteration, saves ``interrupted.pth``
    beside the other checkpoints, and exits with code 75 (EX_TEMPFAIL, "try
    again"), or 130 after Ctrl-C. :class:`ExactResumeHook` makes the resumed run
    equal to one that was not interrupted. A second Ctrl-C ends the process at
    once.

    A signal during validation takes effect after it. With accumulated
    gradients, the run ends after a step of the optimizer. A signal after the last
    step is sent again when the training has ended. Data loader workers
    leave the signals to the main process: the ``worker_init_fn`` of the
    training and validation data loaders is wrapped.

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

    #: The fewest iterations between two times that several processes ask each
    #: other whether one was told to stop, which takes an all-reduce of one number.
    INTERVAL = 10

    def __init__(self) -> None:
        self._received = 0
        self._asked = 0  # the iteration in which processes last asked each other
        self._previous: Dict[int, Any] = {}

    def before_train(self, runner) -> None:
        """Install the signal handlers."""
        if not isinstance(runner.train_loop, ExactTrainLoop):
            raise ValueError(
                'Invalid `default_hooks.exact_resume`: expected '
                "dict(type='mmdckd.ExactResumeHook') with `PreemptionHook`, which "
                'saves in the middle of an epoch, got none.'
            )
        self._received, self._asked = 0, runner.iter
        loops = [runner.train_loop, runner.val_loop]
        for loader in [loop.dataloader for loop in loops if loop is not None]:
            if getattr(loader.worker_init_fn, 'func', None) is not _shield:
                loader.worker_init_fn = partial(_shield, loader.worker_init_fn)
        if threading.current_thread() is threading.main_thread():
            self._previous = {
                number: signal.signal(number, self._receive) or signal.SIG_DFL
                for number in self.SIGNALS
            }
            runner.train_loop.at_end.push(self._listen_no_longer)

    def after_train_iter(
        self, runner, batch_idx: int, data_batch=None, outputs: Optional[dict] = None
    ) -> None:
        """End the run if it was told to."""
        iteration = runner.iter + 1
        if not _step_done(runner):
            return
        if get_world_size() == 1 or iteration - self._asked >= self.INTERVAL:
            self._asked = iteration
            self._end_if_told(runner, dict(epoch=runner.epoch, iter=iteration))

    def after_val(self, runner) -> None:
        """End the run if it was told to during validation."""
        if not self._previous:
            return
        if not _step_done(runner):
            self._asked = -self.INTERVAL  # ask after the next step
        else:
            self._end_if_told(runner, dict(epoch=runner.epoch, iter=runner.iter))

    def after_train(self, runner) -> None:
        """Remove a checkpoint that nothing will resume from."""
        self._drop_checkpoint(runner)

    def _receive(self, number: int, frame) -> None:
        # Do no more here: the handler interrupts whatever the process does.
        self._received = self._received or number
        if number == signal.SIGINT:
            self._restore(signal.SIGINT)
            os.write(
                2,
                b'\nSaving after this iteration. Press Ctrl-C again to stop at once.\n',
            )

    def _listen_no_longer(self, error: Any, *details: Any) -> None:
        self._restore(*self._previous)
        self._previous = {}
        if self._received and error is None:
            # It came after the last step: whatever is next, such as another phase,
            # must not begin.
            os.kill(os.getpid(), self._received)

    def _restore(self, *numbers: int) -> None:
        for number in numbers:
            signal.signal(number, self._previous[number])

    def _end_if_told(self, runner, meta: Dict[str, int]) -> None:
        received = torch.tensor(self._received)
        all_reduce(received, 'max')
        if not received:
            return
        path = self._save(runner, meta)
        # The first process that exits makes launchers end the others.
        barrier()
        name = signal.Signals(int(received)).name
        warn(
            f'Interrupted by {name} after iteration {meta["iter"]}. To continue '
            'from there, run the same command again with `--resume` '
            f'(`resume=True`). Saved to {path}',
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


def _step_done(runner) -> bool:
    """Tell whether no gradients are accumulated, which checkpoints of several
    processes do not hold."""
    step_done = getattr(runner.optim_wrapper, 'should_update', None)
    return step_done is None or step_done()


def _shield(init: Optional[Callable], worker_id: int) -> None:
    """Keep a worker alive when the whole job is told to end.

    If it died, the main process would fail in the middle of a step. It ends, as
    usual, when the main process tells it to.

    Args:
        init (Callable, optional): Another function to run when a worker starts.
        worker_id (int): The number of the worker.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    parent = os.getppid()
    # Only a thread that waits for a signal learns who sent it, not a Python
    # signal handler.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])

    def obey_parent() -> None:
        while signal.sigwaitinfo([signal.SIGTERM]).si_pid != parent:
            pass
        os._exit(0)

    threading.Thread(target=obey_parent, daemon=True).start()
    if init is not None:
        init(worker_id)
