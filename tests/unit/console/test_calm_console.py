# Copyright (c) mmdckd contributors. All rights reserved.
"""Lines for people, wherever they go."""

import io
import sys

import pytest

from mmdckd.console.calm_console import open_console, print_line


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
