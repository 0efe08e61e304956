# Copyright (c) mmdckd contributors. All rights reserved.
"""Asks the server in warm_server.py for a process: SOCKET ARGUMENTS."""

import array
import json
import os
import signal
import socket
import sys

server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
request = json.dumps([sys.argv[2:], os.getcwd(), dict(os.environ)]).encode()
streams = array.array('i', [0, 1, 2])
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(number, lambda number, frame: server.sendall(bytes([number])))
server.sendmsg(
    [len(request).to_bytes(8, 'big')], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)]
)
server.sendall(request)

status = int.from_bytes(server.recv(4), 'big')
if os.WIFSIGNALED(status):
    number = os.WTERMSIG(status)
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
os._exit(os.WEXITSTATUS(status))
