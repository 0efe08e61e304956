# Copyright (c) mmdckd contributors. All rights reserved.
"""Lines for people, wherever they go."""

import io
import logging
import sys
import warnings

import pytest

from mmdckd.console.bar import Bar
from mmdckd.console.calm_console import current_console, open_console, print_line
from mmdckd.console.messages import tell, warn


class Closed(io.StringIO):
    """A pipe whose reader is gone."""

    def write(self, text):
        raise BrokenPipeError


@pytest.mark.parametrize('verbose', [False, True])
def test_a_name_that_cannot_be_encoded_is_escaped(monkeypatch, verbose):
    written = io.BytesIO()
    monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(written, 'utf-8'))
    with open_console(verbose):
        print_line('mäh m\udce4h.png')
    assert written.getvalue() == 'mäh m\\udce4h.png\n'.encode()


@pytest.mark.parametrize('verbose', [False, True])
def test_a_reader_that_is_gone_is_no_error(monkeypatch, verbose):
    monkeypatch.setattr(sys, 'stdout', Closed())
    with open_console(verbose):
        print_line('a line')
        print_line('another line')


@pytest.mark.parametrize('verbose', [False, True])
def test_a_closed_output_is_no_error(monkeypatch, verbose):
    monkeypatch.setattr(sys, 'stdout', None)
    with open_console(verbose) as console:
        print_line('a line')
        if console:
            console.show_bar('epoch 1', 1, 2, '')


@pytest.fixture
def logger(tmp_path):
    """A run's, that writes to the console, errors also elsewhere, and to a file."""
    logger = logging.Logger('run')
    shown, errors = (logging.StreamHandler(io.StringIO()) for _ in range(2))
    shown.addFilter(lambda record: 'secret' not in record.getMessage())
    errors.setLevel(logging.ERROR)
    for handler in (shown, errors, logging.FileHandler(tmp_path / 'run.log')):
        logger.addHandler(handler)
    yield logger
    handler.close()


def test_a_run_says_what_is_for_people(logger, tmp_path, capsys):
    handlers, show = list(logger.handlers), warnings.showwarning
    with open_console() as console:
        assert current_console() is console
        with open_console() as inner:
            assert inner is console
        warnings.simplefilter('always')
        warnings.warn('of Python', stacklevel=1)
        console.attach(logger)
        logger.warning('of a hook')
        tell('told', logger)
        warn('warned', logger)
        tell('a secret', logger)
        logger.error('failed')
        quiet = logging.Logger('quiet')
        quiet.addHandler(logging.StreamHandler(io.StringIO()))
        quiet.handlers[0].setLevel(logging.WARNING)
        console.attach(quiet)
        tell('a detail', quiet)
    assert capsys.readouterr().out == 'told\nwarning: warned\nerror: failed\n'
    assert [each.stream.getvalue() for each in handlers[:2]] == ['', 'failed\n']
    for text in ('of Python', 'of a hook', 'told', 'a secret'):
        assert text in (tmp_path / 'run.log').read_text()
    # All is as it was.
    assert logger.handlers == handlers and warnings.showwarning is show
    assert current_console() is None


def test_only_the_first_process_speaks(logger, monkeypatch, capsys):
    with open_console() as console:
        console.say('before')
        monkeypatch.setenv('RANK', '1')  # as a launcher does
        console.attach(logger)
        tell('told', logger)
    with open_console() as console:
        console.say('after')
    assert capsys.readouterr().out == 'before\n'


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize('kind', ['xterm', 'dumb'])
def test_a_bar_is_below_the_lines_of_a_terminal(kind, monkeypatch):
    monkeypatch.setenv('TERM', kind)
    stream = Terminal()
    bar = Bar(stream)
    bar.show('epoch 1', 1, 2, '3 s left')
    drawn = stream.getvalue()
    assert ('epoch 1' in drawn and '1/2 3 s left' in drawn) == (kind == 'xterm')
    bar.show('epoch 1', 2, 2, '')  # too early to be drawn
    assert stream.getvalue() == drawn
    bar.print_above('[red]a line[/red]')
    bar.hide()
    bar._next = 0.0
    bar.show('epoch 2', 1, 2, '')
    assert ('epoch 2' in stream.getvalue()) == (kind == 'xterm')
    bar.hide()
    bar.print_above('the last line')
    text = stream.getvalue()
    assert '[red]a line[/red]' in text and text.endswith('the last line\n')
    assert ('\x1b' in text) == (kind == 'xterm')
