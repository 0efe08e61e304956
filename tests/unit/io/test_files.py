# Copyright (c) mmdckd contributors. All rights reserved.
import pytest

from mmdckd.io.files import write_text


def test_write_text_replaces_the_old_content(tmp_path):
    path = tmp_path / 'result.json'
    write_text(str(path), 'old and long')
    write_text(str(path), 'ä')
    assert path.read_text(encoding='utf-8') == 'ä'
    assert list(tmp_path.iterdir()) == [path]


def test_write_text_leaves_the_old_file_if_it_fails(tmp_path):
    path = tmp_path / 'result.json'
    write_text(str(path), 'old')
    with pytest.raises(UnicodeEncodeError):
        write_text(str(path), 'new \ud800')
    assert path.read_text() == 'old'
