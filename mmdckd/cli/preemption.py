# Copyright (c) mmdckd contributors. All rights reserved.
"""Handles signals outside the training loop. It imports nothing heavy, because
tools/train.py imports it first."""

import os
import signal
import threading

#: EX_TEMPFAIL of sysexits.h, the same as in mmdckd.engine.hooks.preemption_hook.
RESUME_ME = 75
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


def exit_when_told() -> None:
    """Exit with code 75 on SIGTERM and SIGUSR1, with which cluster managers
    announce the end of a job.

    Before the training loop begins there is nothing to save; then
    ``PreemptionHook`` takes over the signals.
    """
    process = os.getpid()

    def receive(number: int, frame=None) -> None:
        if os.getpid() == process:
            _exit(number)
        # A worker process, which ends as usual.
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    for number in SIGNALS:
        signal.signal(number, receive)
    # Python runs no handler while the main thread waits in C code, for example
    # for the other processes of a run. A wakeup pipe is notified at once.
    source, sink = os.pipe()
    os.set_blocking(sink, False)
    signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
    # A worker must not use the pipe, from its first moment on.
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
        f'\nInterrupted by {name} before there was anything to save. To '
        'continue, run the same command again with `--resume`.\n'.encode(),
    )
    # Not SystemExit, which a module that is being imported could catch.
    os._exit(RESUME_ME)
