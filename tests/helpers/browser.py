# Copyright (c) mmdckd contributors. All rights reserved.
"""A real browser without a window, by the DevTools protocol over a pipe."""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import time

NAMES = ('chromium', 'chromium-browser', 'google-chrome', 'chrome')
PATH = next(filter(None, map(shutil.which, NAMES)), None)


def _pipe():
    """A pipe that is neither 3 nor 4."""
    ends = os.pipe()
    moved = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends]
    for end in ends:
        os.close(end)
    return moved


class Browser:
    """A page in a browser.

    Args:
        profile (Path): A folder for what the browser keeps.
    """

    def __init__(self, profile):
        # It reads from 3 and writes to 4, which may be in use here.
        (read, self._write), (self._read, write) = _pipe(), _pipe()

        def connect():
            os.dup2(read, 3), os.dup2(write, 4)

        self._process = subprocess.Popen(
            [
                PATH,
                '--headless=new',
                '--no-sandbox',
                '--disable-gpu',
                '--disable-dev-shm-usage',
                '--remote-debugging-pipe',
                '--no-first-run',
                '--disable-background-networking',
                f'--user-data-dir={profile}',
                'about:blank',
            ],
            close_fds=False,
            preexec_fn=connect,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read), os.close(write)
        self._rest, self._number, self._session = b'', 0, None
        self.events = []
        target = self.call('Target.createTarget', url='about:blank')
        self._session = self.call(
            'Target.attachToTarget', targetId=target['targetId'], flatten=True
        )['sessionId']
        for domain in ('Page', 'Network', 'Runtime', 'Log'):
            self.call(f'{domain}.enable')

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self._process.terminate()
        self._process.wait()
        os.close(self._read), os.close(self._write)

    def call(self, method, **params):
        """Call a method of the protocol; what happens meanwhile goes to
        ``events``."""
        self._number += 1
        message = dict(id=self._number, method=method, params=params)
        if self._session:
            message['sessionId'] = self._session
        os.write(self._write, json.dumps(message).encode() + b'\0')
        while True:
            answer = self._receive()
            if answer.get('id') == self._number:
                assert 'error' not in answer, answer
                return answer['result']

    def _receive(self):
        while b'\0' not in self._rest:
            part = os.read(self._read, 1 << 20)
            assert part, 'the browser has ended'
            self._rest += part
        message, self._rest = self._rest.split(b'\0', 1)
        message = json.loads(message)
        if 'method' in message:
            self.events.append(message)
        return message

    def open(self, path, width=1300, height=900):
        """Open a file and wait until all of it is there."""
        self.call(
            'Emulation.setDeviceMetricsOverride',
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.events.clear()
        self.call('Page.navigate', url=path.as_uri())
        while self.evaluate('document.readyState') != 'complete' or (
            self.evaluate('location.href') != path.as_uri()
        ):
            time.sleep(0.05)

    def evaluate(self, expression):
        """The value of an expression in JavaScript."""
        result = self.call(
            'Runtime.evaluate', expression=expression, returnByValue=True
        )
        assert 'exceptionDetails' not in result, result
        return result['result'].get('value')

    def requested(self):
        """The addresses that the page has asked for."""
        return [
            event['params']['request']['url']
            for event in self.events
            if event['method'] == 'Network.requestWillBeSent'
        ]

    def complaints(self):
        """What is in the console."""
        kinds = (
            'Runtime.exceptionThrown',
            'Runtime.consoleAPICalled',
            'Log.entryAdded',
        )
        return [e['params'] for e in self.events if e['method'] in kinds]

    def screenshot(self, path):
        """Write the whole page as a PNG file."""
        size = self.call('Page.getLayoutMetrics')['cssContentSize']
        data = self.call(
            'Page.captureScreenshot',
            captureBeyondViewport=True,
            clip=dict(size, scale=1),
        )['data']
        path.write_bytes(base64.b64decode(data))

    def print_to(self, path):
        """Print the page as a PDF file."""
        data = self.call('Page.printToPDF', printBackground=True)['data']
        path.write_bytes(base64.b64decode(data))
