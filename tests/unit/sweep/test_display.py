# Copyright (c) mmdckd contributors. All rights reserved.
import io
import sys
from types import SimpleNamespace

import pytest

from mmdckd.sweep.display import Display


class Terminal(io.TextIOWrapper):
    """A terminal that knows one encoding, and may be closed."""

    closed_by_user = False

    def isatty(self):
        return True

    def write(self, text):
        if self.closed_by_user:
            raise OSError(5, 'Input/output error')
        return super().write(text)


def open_terminal(monkeypatch):
    terminal = Terminal(io.BytesIO(), encoding='ascii')
    monkeypatch.setattr(sys, 'stdout', terminal)
    monkeypatch.setenv('TERM', 'xterm')
    return terminal


def show(display, name):
    process = SimpleNamespace(run=name, part=0.5, seconds=3)
    display.update(
        SimpleNamespace(running=[process], busy=True, seconds_left=lambda: 3)
    )
    display.end(name, 'ok', None)


def test_a_terminal_shows_names_that_it_cannot_encode(monkeypatch):
    terminal = open_terminal(monkeypatch)
    with Display(2) as display:
        show(display, 'é, seed 0')
    terminal.flush()
    assert b'[1/2] \\xe9, seed 0: ok' in terminal.buffer.getvalue()


def test_a_name_in_brackets_is_shown_as_it_is(monkeypatch):
    terminal = open_terminal(monkeypatch)
    run = SimpleNamespace(run='dckd [/b] [red]', part=0.5, seconds=3.0)
    with Display(1) as display:
        display.update(SimpleNamespace(running=[run], busy=False))
    terminal.flush()
    assert b'dckd [/b] [red]' in terminal.buffer.getvalue()


@pytest.mark.parametrize('name', ['FORCE_COLOR', 'TTY_COMPATIBLE'])
def test_a_pipe_has_no_control_characters(monkeypatch, capsys, name):
    monkeypatch.setenv(name, '1')
    with Display(1) as display:
        show(display, 'kd, seed 0')
    assert capsys.readouterr().out.strip() == '[1/1] kd, seed 0: ok'


def test_a_terminal_that_is_closed_does_not_end_the_sweep(monkeypatch):
    terminal = open_terminal(monkeypatch)
    with Display(2) as display:
        show(display, 'kd, seed 0')
        terminal.closed_by_user = True
        show(display, 'kd, seed 1')
    assert display.ended == 2
