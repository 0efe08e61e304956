# Copyright (c) mmdckd contributors. All rights reserved.
"""docs/reference/benchmark.md is what the committed results make of it."""

import re
import runpy
import shlex
import shutil
import sys

import pytest

from helpers.paths import ROOT

PAGE = ROOT / 'docs' / 'reference' / 'benchmark.md'
COMMAND = re.search(
    r'^    (python tools/sweep.py .*--page .*)$', PAGE.read_text(), re.M
).group(1)


def test_every_sweep_with_results_is_on_the_page():
    named = re.findall(r'configs/sweeps/(\S+)[.](?:py|yaml)', COMMAND)
    assert set(named) == {
        path.stem
        for path in (ROOT / 'configs' / 'sweeps').iterdir()
        if (ROOT / 'docs' / 'results' / path.stem).is_dir()
    }


@pytest.mark.slow
def test_the_page_is_made_of_the_committed_results(tmp_path, monkeypatch):
    (tmp_path / 'configs').symlink_to(ROOT / 'configs')
    for path in ROOT.glob('docs/results/*/results.jsonl'):
        folder = tmp_path / path.parent.relative_to(ROOT)
        folder.mkdir(parents=True)
        shutil.copy(path, folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / 'tools'))
    _, tool, *args = shlex.split(COMMAND)
    monkeypatch.setattr(sys, 'argv', [tool, *args])
    runpy.run_path(str(ROOT / tool), run_name='__main__')
    made = (tmp_path / 'docs' / 'reference' / 'benchmark.md').read_text()
    assert made == PAGE.read_text(), f'The page is stale: {COMMAND}'
    for link in re.findall(r'\]\(((?:\.\./)?results/[^)]*)\)', made):
        assert (PAGE.parent / link).is_file(), link
