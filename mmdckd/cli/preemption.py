# Copyright (c) mmdckd contributors. All rights reserved.
"""What a signal means outside of the training loop. It imports nothing heavy:
tools/train.py imports it first."""

import os
import signal
import threading

#: EX_TEMPFAIL of sysexits.h, as mmdckd.engine.hooks.preemption_hook.
RESUME_ME = 75
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


def exit_when_told() -> None:
    """Exit with code 75 on SIGTERM and SIGUSR1, by which cluster managers
    announce the end of a job.

    There is nothing to save before the training loop begins, where
    ``PreemptionHook`` takes the signals over.
    """
    process = os.getpid()

    def receive(number: int, frame=None) -> None:
        if os.getpid() == process:
            _exit(number)
        # A worker, which ends as usual.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for number in SIGNALS:
        signal.signal(number, receive)
    # Python calls no handler while the main thread waits in C, as for the
    # other processes of a run. This pipe is told at once.
    source, sink = os.pipe()
    os.set_blocking(sink, False)
    signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
    # A worker has no part in the pipe, from its first moment on.
    os.register_at_fork(
        before=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS),
        after_in_parent=_unblock,
        after_in_child=_leave_pipe,
    )

    def watch() -> None:
        while True:
            (number,) = os.read(source, 1)
            if number in SIGNALS and signal.getsignal(number) is receive:
                _exit(number)

    threading.Thread(target=watch, daemon=True).start()


def _leave_pipe() -> None:
    signal.set_wakeup_fd(-1)
    _unblock()


def _unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _exit(number: int) -> None:
    name = signal.Signals(number).name
    os.write(
        2,
        f'\nInterrupted by {name} where there is nothing to save. To go '
        'on, start the same command again with `--resume`.\n'.encode(),
    )
    # Not SystemExit, which whatever is being imported could catch.
    os._exit(RESUME_ME)
