# Copyright (c) mmdckd contributors. All rights reserved.
import os
import subprocess
import sys
import time

import pytest

from mmdckd.io import files
from mmdckd.io.files import file_stem, write_text


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


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    """So is a device: as root, `--csv /dev/null` replaced it for all processes."""
    path = tmp_path / 'pipe'
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_text(str(path), 'text')
        assert os.read(reader, 100) == b'text'
    finally:
        os.close(reader)
    assert path.is_fifo() and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    'machine, writer, age, kept',
    [
        ('here', 'alive', 0, True),
        ('here', 'dead', 0, False),
        ('here', 'alive', 4000, False),
        ('elsewhere', 'dead', 0, True),
        ('elsewhere', 'dead', 4000, False),
    ],
)
def test_a_file_that_is_being_written_is_kept(
    machine, writer, age, kept, tmp_path, monkeypatch
):
    if machine == 'elsewhere':
        monkeypatch.setattr('platform.node', lambda: 'another')
    if writer == 'dead':
        with subprocess.Popen([sys.executable, '-c', '']) as process:
            pass
        monkeypatch.setattr('os.getpid', lambda: process.pid)
    monkeypatch.setattr('os.replace', lambda *paths: None)  # a write that goes on
    monkeypatch.setattr(files, '_remove', lambda path: None)
    write_text(str(tmp_path / 'epoch_9.pth'), 'half')
    monkeypatch.undo()
    (path,) = tmp_path.iterdir()
    os.utime(path, (time.time() - age,) * 2)
    files.remove_leftovers(str(tmp_path))
    assert path.exists() == kept


def test_a_temporary_file_has_no_longer_name(tmp_path):
    with files.replacing(str(tmp_path / 'a')) as beside:
        name = os.path.basename(beside)
        open(beside, 'w').close()
    assert len(name) - len('a') <= 255 - files.LONGEST_NAME


def test_a_temporary_file_of_an_older_version_is_removed(tmp_path):
    path = tmp_path / 'epoch_9.pth.123456789012.tmp'
    path.write_text('half')
    files.remove_leftovers(str(tmp_path))
    assert not path.exists()


def test_a_stem_is_never_that_of_another_file():
    taken = set()
    names = ('KD+', 'KD*', 'KD_-2', 'KD_', '../a b')
    stems = [file_stem(name, taken) for name in names]
    assert stems == ['KD_', 'KD_-2', 'KD_-2-2', 'KD_-3', '.._a_b']


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """Otherwise a power failure could leave an empty file in place of the old one."""
    calls, fsync, replace = [], os.fsync, os.replace

    def flush(descriptor):
        calls.append(os.readlink(f'/proc/self/fd/{descriptor}'))
        fsync(descriptor)

    def rename(source, target):
        calls.append((source, target))
        replace(source, target)

    monkeypatch.setattr(os, 'fsync', flush)
    monkeypatch.setattr(os, 'replace', rename)
    path = str(tmp_path / 'a')
    write_text(path, 'text')
    beside = calls[0]
    assert beside.endswith('.tmp')
    # Last the folder, which holds the name.
    assert calls == [beside, (beside, path), str(tmp_path)]


def test_a_link_stays_one_and_its_file_is_replaced(tmp_path):
    path, link = tmp_path / 'real' / 'a', tmp_path / 'link'
    link.symlink_to(path)
    write_text(str(link), 'text')
    assert link.is_symlink() and path.read_text() == 'text'
    assert [each.name for each in path.parent.iterdir()] == ['a']


def test_where_can_be_written_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    files.check_writable('a/b/c', 'out')
    for path in ('a.csv', 'a/b/c.csv', str(tmp_path / 'a.csv')):
        files.check_writable_file(path, 'out')
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('link', [False, True])
def test_a_copy_is_a_link_if_it_may_and_can_be(tmp_path, link, monkeypatch):
    source, path = tmp_path / 'a', tmp_path / 'b'
    source.write_text('text')
    files.copy_file(str(source), str(path), link)
    assert path.samefile(source) == link

    def fail(*paths):
        raise OSError('not supported')

    monkeypatch.setattr(os, 'link', fail)
    files.copy_file(str(source), str(path), link)
    assert path.read_text() == 'text' and not path.samefile(source)


def test_leftovers_are_removed_wherever_a_run_writes(tmp_path, monkeypatch):
    folder = tmp_path / 'run [1]'
    names = ('a', 'exported/a', '20260101_000000/vis_data/a')
    left = [folder / f'{name}.00000.1.000000.tmp' for name in names]
    own = [folder / 'notes.tmp', folder / 'a.1.tmp.txt', folder / 'deep/er/a.1.tmp']
    for path in (*left, *own):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (0, 0))
    files.remove_leftovers(str(folder))
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in own)
    # A process of another user is one.
    (folder / f'a.{files._machine():05}.1.000000.tmp').touch()

    def deny(process, number):
        raise PermissionError

    monkeypatch.setattr(os, 'kill', deny)
    files.remove_leftovers(str(folder))
    assert len(list(folder.glob('a.*.1.000000.tmp'))) == 1


def test_a_stem_has_no_longer_name_than_a_file_may(tmp_path):
    taken = set()
    stems = [file_stem('é' * 300, taken) for _ in range(2)]
    assert stems[1] == f'{stems[0]}-2'
    assert max(len(stem.encode()) for stem in stems) < files.LONGEST_NAME - 10
