# Copyright (c) mmdckd contributors. All rights reserved.
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mmengine.config import Config

from mmdckd.sweep.files import append_line, whole_lines, write_config

TEXT = st.text(st.characters(exclude_categories=['Cs', 'Cc']))


@given(st.lists(TEXT, min_size=1), st.integers(0), TEXT)
def test_a_line_follows_whatever_a_kill_has_left(tmp_path_factory, lines, cut, new):
    path = tmp_path_factory.mktemp('lines') / 'results.jsonl'
    for line in lines:
        append_line(str(path), line)
    written = path.read_bytes()
    assert written == ''.join(line + '\n' for line in lines).encode()

    left = written[: cut % (len(written) + 1)]
    path.write_bytes(left)
    append_line(str(path), new)
    whole = left.split(b'\n')[:-1]
    assert path.read_bytes().split(b'\n') == [*whole, new.encode(), b'']


def test_whole_lines_end_with_the_last_line_end():
    assert whole_lines(b'') == b''
    assert whole_lines(b'half') == b''
    assert whole_lines(b'one\ntwo\nhal') == b'one\ntwo\n'
    assert whole_lines(b'one\n') == b'one\n'


def test_two_processes_do_not_append_at_once(tmp_path, monkeypatch):
    fcntl = pytest.importorskip('fcntl')
    path = tmp_path / 'results.jsonl'
    seen = []

    def fsync(_):
        with open(path, encoding='utf-8') as other:
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
            seen.append(other.read())

    monkeypatch.setattr('os.fsync', fsync)
    append_line(str(path), 'one')
    append_line(str(path), 'two')
    assert seen == ['one\n', 'one\ntwo\n']


def test_a_config_reads_back_the_same(tmp_path):
    cfg = Config(
        dict(
            model=dict(
                students=dict(small=dict(type='A'), main=dict(size=(8, 8)), big={})
            ),
            scale=[1, (2.0, None)],
            clip_grad=dict(norm_type=float('inf'), limits=(1.5, -float('inf'))),
            about='a "quoted"\ntext ' * 20,
            resume=False,
        )
    )
    path = str(tmp_path / 'config.py')
    write_config(path, cfg)
    read = Config.fromfile(path)
    assert read.to_dict() == cfg.to_dict()
    assert list(read.model.students) == ['small', 'main', 'big']
    assert isinstance(read.model.students.main.size, tuple)
