# Copyright (c) mmdckd contributors. All rights reserved.
import os
import signal
import subprocess
import time

import pytest

from helpers import warm


def call(*arguments, **kwargs):
    return subprocess.run(
        [warm.python(), *arguments], capture_output=True, text=True, **kwargs
    )


@pytest.mark.slow
def test_it_runs_what_python_runs(tmp_path):
    (tmp_path / 'beside.py').write_text('name = "beside"\n')
    script = tmp_path / 'script.py'
    script.write_text(
        'import os, sys, beside\n'
        'print(beside.name, *sys.argv[1:], os.getcwd(), os.environ["SAID"], __name__)\n'
        'print(input(), file=sys.stderr)\n'
    )
    done = call(
        *('-W', 'ignore', '-u', str(script), 'a b'),
        cwd='/',
        env=dict(os.environ, SAID='so'),
        input='line\n',
    )
    assert (done.returncode, done.stderr) == (0, 'line\n')
    assert done.stdout == 'beside a b / so __main__\n'
    assert call('-m', 'beside', cwd=tmp_path).returncode == 0


@pytest.mark.parametrize(
    ('code', 'status', 'last'),
    [
        ('import sys; sys.exit()', 0, ''),
        ('import sys; sys.exit(3)', 3, ''),
        ('import sys; sys.exit("no")', 1, 'no'),
        ('1 / 0', 1, 'ZeroDivisionError: division by zero'),
        ('import os; os.abort()', -signal.SIGABRT, ''),
    ],
)
def test_it_ends_as_python_does(code, status, last):
    done = call('-c', code)
    assert done.returncode == status
    assert done.stderr.strip().split('\n')[-1] == last


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGKILL])
def test_signals_reach_the_process(number):
    code = 'import os, time; print(os.getpid(), flush=True); time.sleep(60)'
    process = subprocess.Popen([warm.python(), '-c', code], stdout=subprocess.PIPE)
    pid = int(process.stdout.readline())
    process.send_signal(number)
    assert process.wait(timeout=60) == -number
    process.stdout.close()
    with pytest.raises(ProcessLookupError):
        while True:
            os.kill(pid, 0)
            time.sleep(0.01)
