# Copyright (c) mmdckd contributors. All rights reserved.
"""What a run does with a teacher cache that is damaged, full or not its own."""

import os
import resource
import shutil
import tempfile
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch

from helpers.cached_teacher import FIRST, FOUND, config, equal, save_teacher, train
from mmdckd.engine.teacher_cache import replayed_views
from mmdckd.models.teachers.logits_cache import hash_of
from mmdckd.models.teachers.record_file import RecordFile


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    return save_teacher(tmp_path_factory.mktemp('teacher'))


@pytest.fixture(scope='module')
def expected(tmp_path_factory, teacher):
    """The weights of a run with a cache of its own."""
    return train(config(tmp_path_factory.mktemp('expected'), teacher))[0]


def files(folder):
    return sorted((folder / 'logits').glob('*/*.logits'))


def warnings(folder):
    """What the last run in a folder has warned of its cache."""
    last = max(folder.glob('**/*.log'), key=lambda path: path.stat().st_mtime_ns)
    return [
        line for line in last.read_text().splitlines() if 'TeacherCacheHook:' in line
    ]


def test_damaged_entries_are_computed_anew(tmp_path, teacher):
    first, _ = train(config(tmp_path, teacher))
    path = tmp_path / 'logits'
    (path,) = path.glob('*/0-0.logits')
    whole = path.read_bytes()
    content = bytearray(whole)
    content[len(content) // 24 * 10 + 20] ^= 4  # in the second batch
    path.write_bytes(content)
    again, seen = train(config(tmp_path, teacher))
    assert seen == [2, 8, 8] and equal(again, first)
    assert path.read_bytes() == whole
    path.write_bytes(whole[:-5])
    again, seen = train(config(tmp_path, teacher))
    assert seen == [2, 8, 8, 4, 8] and equal(again, first)
    assert path.read_bytes() == whole


def test_a_bound_on_bytes(tmp_path, teacher, expected):
    # 24 places of 12 bytes and 10 float16.
    again, seen = train(config(tmp_path, teacher, max_bytes=24 * 32))
    assert seen == FIRST and equal(again, expected)
    again, seen = train(config(tmp_path, teacher, max_bytes=24 * 32))
    assert seen == [2, 8, 8, 8, 4] and equal(again, expected)
    (warning,) = warnings(tmp_path)
    assert 'has reached `max_bytes`' in warning
    folder = tmp_path / 'logits'
    assert sum(p.stat().st_size for p in folder.glob('*/*')) == 24 * 32


@contextmanager
def a_full_disk():
    """Files cannot grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def nobody():
    """Without the rights of root, for whom no folder is read-only."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def accessed(monkeypatch, name, context):
    """Access the files of a cache in a context."""
    method = getattr(RecordFile, name)

    def inside(*args):
        with context():
            return method(*args)

    monkeypatch.setattr(RecordFile, name, inside)


@pytest.mark.parametrize('name', ['open', 'write'])
def test_a_full_disk(tmp_path, teacher, expected, monkeypatch, name):
    accessed(monkeypatch, name, a_full_disk)
    again, seen = train(config(tmp_path, teacher))
    assert seen == FIRST and equal(again, expected)
    (warning,) = warnings(tmp_path)
    assert 'File too large' in warning and 'Training continues' in warning


@pytest.mark.parametrize('name', ['open', 'write'])
def test_a_read_only_folder(tmp_path, teacher, expected, monkeypatch, name):
    """What is there is used."""
    with tempfile.TemporaryDirectory() as folder:
        one = config(tmp_path, teacher, epochs=1)
        one.custom_hooks[0].folder = folder
        train(one)
        for path in (folder, *Path(folder).rglob('*')):
            os.chmod(path, 0o555 if os.path.isdir(path) else 0o444)
        for each in ('open', 'write'):
            accessed(monkeypatch, each, nobody)
        if name == 'write':
            (path,) = Path(folder).glob('*/0-0.logits')
            damaged = bytearray(path.read_bytes())
            damaged[-len(damaged) // 2] ^= 1  # in the second batch
            path.chmod(0o644)
            path.write_bytes(damaged)
            path.chmod(0o444)
        two = config(tmp_path, teacher)
        two.custom_hooks[0].folder = folder
        again, seen = train(two)
        for path in (folder, *Path(folder).rglob('*')):
            os.chmod(path, 0o755)
    assert equal(again, expected)
    assert seen == ([2, 8, 8, 8, 4] if name == 'open' else [2, 8, 8, 8, 8, 4])
    (warning,) = warnings(tmp_path)
    assert 'Permission denied' in warning and 'Training continues' in warning


def test_logits_of_another_teacher_are_found_out(tmp_path, teacher, monkeypatch):
    """Even if they had its key."""
    monkeypatch.setattr(replayed_views, 'hash_of', lambda *parts: hash_of('same'))
    train(config(tmp_path, teacher))
    state = torch.load(teacher, weights_only=True)
    state['head.fc.bias'] += 1
    torch.save(state, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match='differ by .*Remove '):
        train(config(tmp_path, str(tmp_path / 'other.pth')))


def test_other_views_of_the_same_key_are_not_used(tmp_path, teacher, monkeypatch):
    monkeypatch.setattr(replayed_views, 'hash_of', lambda *parts: hash_of('same'))
    train(config(tmp_path, teacher))
    cfg = config(tmp_path, teacher)
    cfg.train_dataloader.dataset.pipeline[1].prob = 0.0
    _, seen = train(cfg)
    assert seen == FIRST


def test_logits_of_another_seed_are_not_used(tmp_path, teacher, expected):
    """Even in the files of this one."""
    other = config(tmp_path / 'other', teacher)
    other.randomness.seed = 2
    train(other)
    train(config(tmp_path, teacher))
    for path, another in zip(files(tmp_path), files(tmp_path / 'other')):
        assert path.parent.name != another.parent.name
        shutil.copy(another, path)
    again, seen = train(config(tmp_path, teacher))
    assert seen == FIRST and equal(again, expected)
    again, seen = train(config(tmp_path, teacher))
    assert seen == FOUND and equal(again, expected)


def train_at_once(cfg, begin, results):
    begin.wait()
    state, seen = train(cfg)
    results.put(({key: value.numpy() for key, value in state.items()}, seen))


def test_two_runs_at_once(tmp_path, teacher, expected):
    context = get_context('fork')
    begin, results = context.Barrier(2), context.SimpleQueue()
    runs = [
        context.Process(
            target=train_at_once, args=(config(tmp_path, teacher), begin, results)
        )
        for _ in range(2)
    ]
    for run in runs:
        run.start()
    for _ in runs:
        state, seen = results.get()
        assert equal({k: torch.from_numpy(v) for k, v in state.items()}, expected)
    for run in runs:
        run.join()
        assert run.exitcode == 0
    again, seen = train(config(tmp_path, teacher))
    assert seen == FOUND and equal(again, expected)
