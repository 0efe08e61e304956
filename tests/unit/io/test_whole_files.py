# Copyright (c) mmdckd contributors. All rights reserved.
"""Files are written whole or not at all, and in one place."""

import re

import pytest

from helpers.paths import ROOT
from mmdckd.io.files import write_text


def test_it_replaces_the_old_content(tmp_path):
    path = tmp_path / 'text.txt'
    write_text(str(path), 'old and long')
    write_text(str(path), 'ä')
    assert path.read_text(encoding='utf-8') == 'ä'
    assert list(tmp_path.iterdir()) == [path]


def test_it_leaves_the_old_file_if_it_fails(tmp_path):
    path = tmp_path / 'text.txt'
    write_text(str(path), 'old')
    with pytest.raises(UnicodeEncodeError):
        write_text(str(path), 'new \ud800')
    assert path.read_text() == 'old'


def test_only_one_module_puts_files_in_their_place():
    """What a kill must not cut in two is written with ``replacing``."""
    sources = [
        path
        for folder in ('mmdckd', 'tools', 'studies')
        for path in (ROOT / folder).rglob('*.py')
    ]
    renaming = re.compile(r"\bos\.(replace|rename)\(|shutil\.move\(|\.tmp'")
    writers = [path for path in sources if renaming.search(path.read_text('utf-8'))]
    assert ROOT / 'mmdckd/io/files.py' in writers
    allowed = {'mmdckd/io/files.py', 'studies/stress/kill_training.py'}
    assert {str(path.relative_to(ROOT)) for path in writers} == allowed
