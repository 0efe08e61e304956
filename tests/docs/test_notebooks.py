# Copyright (c) mmdckd contributors. All rights reserved.
"""The cells of every notebook run, and print what it shows."""

import contextlib
import io
import json
import re

import pytest

from helpers.paths import DOCS

NOTEBOOKS = sorted(DOCS.glob('notebooks/*.ipynb'))


def run_cells(notebook):
    """Run the cells in one namespace; what each prints."""
    namespace = dict(__name__='__main__')
    for cell in notebook['cells']:
        if cell['cell_type'] == 'code':
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(''.join(cell['source']), namespace)
            yield cell, printed.getvalue()


def without_numbers(text):
    """Accuracies differ between machines."""
    return re.sub(r'\d+\.\d+', '0', text)


@pytest.mark.slow
@pytest.mark.parametrize('path', NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shown = 0
    for cell, printed in run_cells(json.loads(path.read_text())):
        stored = ''.join(''.join(each['text']) for each in cell['outputs'])
        if 'distill(' in ''.join(cell['source']):
            continue  # it prints the time
        assert without_numbers(printed) == without_numbers(stored)
        shown += bool(stored)
    assert shown >= 4


def test_there_is_one():
    assert NOTEBOOKS
