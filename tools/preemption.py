# Copyright (c) mmdckd contributors. All rights reserved.
"""What a signal means outside of the training loop. It imports nothing heavy:
tools/train.py imports it first."""
import os
import signal

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
    for number in SIGNALS:
        signal.signal(number, lambda *args: _exit(process, *args))


def _exit(process: int, number: int, frame) -> None:
    if os.getpid() != process:  # a worker, which ends as ever
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    name = signal.Signals(number).name
    os.write(
        2, f'\nInterrupted by {name} where there is nothing to save. To go '
        'on, start the same command again with `--resume`.\n'.encode())
    # Not SystemExit, which whatever is being imported could catch.
    os._exit(RESUME_ME)
