# Copyright (c) mmdckd contributors. All rights reserved.
"""A Python that has imported the toolbox already.

Importing takes seconds of processor time. A server does it once and forks each
process, which gets the streams, arguments, folder and environment of the small
client that asked for it. The client passes signals on and ends as the process
does, so it can take the place of ``sys.executable`` wherever a test is not about
how a process starts or what it imports. It knows `-c`, `-m`, `-u` and `-W`.
"""

import functools
import subprocess
import sys
import tempfile
from pathlib import Path

CLIENT = Path(__file__).with_name('warm_client.py')
SERVER = Path(__file__).with_name('warm_server.py')


@functools.cache
def python():
    """The path of the client, whose server lives as long as this process."""
    return str(_Server().client)


class _Server:
    running = []

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix='warm_')
        # As in an installation: MMEngine takes what is below the folder above
        # for Python's own modules.
        self.client = Path(self.folder.name, 'bin', 'python')
        self.client.parent.mkdir()
        socket = Path(self.folder.name, 'socket')
        self.client.write_text(
            f'#!/bin/sh\nexec {sys.executable} -IS {CLIENT} {socket} "$@"\n'
        )
        self.client.chmod(0o755)
        # It ends when its input does.
        self.process = subprocess.Popen(
            [sys.executable, str(SERVER), str(socket), str(self.client)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout.readline() == b'ready\n'
        self.running.append(self)
