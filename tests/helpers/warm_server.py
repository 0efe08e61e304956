# Copyright (c) mmdckd contributors. All rights reserved.
"""Imports the toolbox and forks processes of it: SOCKET CLIENT. See warm.py."""

import array
import atexit
import ctypes
import json
import os
import random
import runpy
import selectors
import signal
import socket
import sys
import threading
import types
import warnings

PR_SET_PDEATHSIG = 1


class Server:
    """Forks a process for each client that connects to a socket."""

    def __init__(self, path):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(64)
        self.ended, self.wake = socket.socketpair()
        self.wake.setblocking(False)
        self.clients = {}  # a connection for each process
        self.selector = selectors.DefaultSelector()
        for source in (self.listener, self.ended, sys.stdin):
            self.selector.register(source, selectors.EVENT_READ)

    def serve(self):
        """Return in each process that was forked, with what it should run."""
        signal.set_wakeup_fd(self.wake.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        print('ready', flush=True)
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.listener:
                    request = self.fork()
                    if request:
                        return request
                elif key.fileobj is self.ended:
                    self.ended.recv(4096)
                    self.reap()
                elif key.fileobj is sys.stdin:
                    for pid in self.clients:
                        os.kill(pid, signal.SIGKILL)
                    os._exit(0)
                else:
                    self.relay(key.fileobj)

    def fork(self):
        connection = self.listener.accept()[0]
        request = receive(connection)
        pid = os.fork()
        if not pid:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            sources = self.listener, self.ended, self.wake, self.selector, connection
            for each in (*sources, *self.clients.values()):
                each.close()
            return request
        for stream in request[-1]:
            os.close(stream)
        self.clients[pid] = connection
        self.selector.register(connection, selectors.EVENT_READ)

    def reap(self):
        """Tell clients how their processes ended."""
        while self.clients:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            connection = self.clients.pop(pid)
            self.selector.unregister(connection)
            try:
                connection.sendall(status.to_bytes(4, 'big'))
            except BrokenPipeError:
                pass  # it was killed
            connection.close()

    def relay(self, connection):
        """Pass the signals of a client on, or its end."""
        for pid, each in self.clients.items():
            if each is connection:
                for number in connection.recv(64) or [signal.SIGKILL]:
                    os.kill(pid, number)


def receive(connection):
    """What a client sends: arguments, folder, environment and streams."""
    size, [(_, _, streams)], *_ = connection.recvmsg(8, socket.CMSG_LEN(3 * 4))
    size = int.from_bytes(size, 'big')
    text = b''
    while len(text) < size:
        text += connection.recv(size - len(text))
    return [*json.loads(text), array.array('i', streams)]


def become(folder, environment, streams):
    """Take the place of a process that a client would have started."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    os.setpgid(0, 0)
    # Where the server is killed, no process stays.
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for seed in (random.seed, numpy.random.seed, torch.seed):
        seed()
    sys.path[:0] = [
        path
        for path in environment.get('PYTHONPATH', '').split(os.pathsep)
        if path and path not in sys.path
    ]


def run(arguments):
    """Do what ``python ARGUMENTS`` does."""
    while arguments[0] in ('-u', '-W'):
        if arguments.pop(0) == '-u':
            sys.stdout.reconfigure(line_buffering=True)
        else:
            warnings.simplefilter(arguments.pop(0))
    if arguments[0] == '-c':
        sys.argv = ['-c', *arguments[2:]]
        sys.path.insert(0, '')
        sys.modules['__main__'] = module = types.ModuleType('__main__')
        exec(compile(arguments[1], '<string>', 'exec'), vars(module))
    elif arguments[0] == '-m':
        sys.argv = arguments[1:]
        sys.path.insert(0, os.getcwd())
        runpy.run_module(arguments[1], run_name='__main__', alter_sys=True)
    else:
        sys.argv = arguments
        sys.path.insert(0, os.path.dirname(os.path.abspath(arguments[0])))
        runpy.run_path(arguments[0], run_name='__main__')


def run_to_its_end(arguments):
    """The same, and end as Python does, but for freeing all its memory."""
    status = 0
    try:
        run(arguments)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 255)


if __name__ == '__main__':
    os.environ.update(CUDA_VISIBLE_DEVICES='', OMP_NUM_THREADS='1')
    sys.path[0] = os.path.dirname(sys.path[0])
    socket_path, sys.executable = sys.argv[1:]

    import matplotlib.pyplot  # noqa: F401
    import mmengine.runner
    import mmpretrain.visualization  # noqa: F401
    import numpy
    import torch

    import mmdckd.easy.distillation  # noqa: F401
    import mmdckd.report  # noqa: F401
    from helpers.speed import do_once, freeze

    sys.path.pop(0)
    do_once()
    mmengine.runner.runner.collect_env()
    freeze()
    arguments, *rest = Server(socket_path).serve()
    become(*rest)
    run_to_its_end(arguments)
