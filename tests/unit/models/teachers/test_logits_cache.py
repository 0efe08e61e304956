# Copyright (c) mmdckd contributors. All rights reserved.
import json
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample

from mmdckd.models.teachers.cached_logits import check_lookup
from mmdckd.models.teachers.logits_cache import LogitsCache, hash_of

SHAPE = (3, 4, 5)


@pytest.fixture
def logits():
    return np.random.RandomState(0).randn(*SHAPE).astype(np.float32)


@pytest.fixture
def folder(tmp_path, logits):
    rows = logits.reshape(-1, 5)
    LogitsCache.create(str(tmp_path), 'key', SHAPE, [rows[:5], rows[5:7], rows[7:]])
    return tmp_path


def samples(*places):
    return [DataSample(metainfo=dict(sample_idx=i, view=v)) for i, v in places]


def test_what_was_written_is_looked_up(folder, logits):
    cache = LogitsCache.open(str(folder), 'key', SHAPE)
    found = cache(torch.zeros(2, 3, 8, 8), samples((2, 1), (0, 3)))
    expected = torch.from_numpy(logits[[2, 0], [1, 3]]).half().float()
    assert torch.equal(found, expected)
    assert isinstance(cache.logits, np.memmap)
    files = sorted(path.name for path in folder.iterdir())
    assert files == ['key.json', 'key.lock', 'key.npy']


def test_another_key_has_another_file(folder):
    assert LogitsCache.open(str(folder), 'other', SHAPE) is None


@pytest.mark.parametrize(
    'damage',
    [
        'a bit',
        'truncated',
        'empty',
        'no note',
        'note',
        'note of another',
        'shape',
        'other file',
    ],
)
def test_what_is_damaged_is_not_opened(folder, damage):
    path, note, shape = folder / 'key.npy', folder / 'key.json', SHAPE
    content = bytearray(path.read_bytes())
    if damage == 'a bit':
        content[-3] ^= 1
        path.write_bytes(content)
    elif damage == 'truncated':
        path.write_bytes(content[:-10])
    elif damage == 'empty':
        path.write_bytes(b'')
    elif damage == 'no note':
        note.unlink()
    elif damage == 'note':
        note.write_text('{"blake')
    elif damage == 'note of another':
        note.write_text(json.dumps(dict(blake2b='0' * 32)))
    elif damage == 'shape':
        shape = (3, 4, 6)
    elif damage == 'other file':
        np.save(path, np.zeros(SHAPE, np.float16))
    assert LogitsCache.open(str(folder), 'key', shape) is None


def test_a_file_is_there_when_it_is_whole(tmp_path):

    def batches():
        yield np.zeros((6, 5), np.float32)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        LogitsCache.create(str(tmp_path), 'key', SHAPE, batches())
    assert [path.name for path in tmp_path.iterdir()] == ['key.lock']


def test_of_two_runs_one_computes_and_the_other_waits(tmp_path, logits):
    both = threading.Barrier(2)
    computed = []

    def run(number):
        def batches():
            computed.append(number)
            time.sleep(0.2)
            yield logits.reshape(-1, 5)

        both.wait()
        return LogitsCache.create(str(tmp_path), 'key', SHAPE, batches()).logits

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(run, range(2))
    assert len(computed) == 1
    assert np.array_equal(first, second)
    assert np.array_equal(first, logits.astype(np.float16))


@pytest.mark.parametrize('value', [np.nan, np.inf, 1e5])
def test_logits_that_float16_has_not_are_refused(tmp_path, value):
    rows = np.full((12, 5), value, np.float32)
    with pytest.raises(ValueError, match='float16'):
        LogitsCache.create(str(tmp_path), 'key', SHAPE, [rows])


def test_a_disk_without_room(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, 'disk_usage', lambda _: usage._replace(free=9))
    with pytest.raises(OSError, match='GiB of room'):
        LogitsCache.create(str(tmp_path), 'key', SHAPE, [])


@pytest.mark.parametrize('missing', ['sample_idx', 'view'])
def test_a_sample_that_does_not_say_which_it_is(folder, missing):
    cache = LogitsCache.open(str(folder), 'key', SHAPE)
    info = dict(sample_idx=0, view=0)
    del info[missing]
    with pytest.raises(ValueError, match=f'expected `{missing}`.*meta_keys'):
        cache(torch.zeros(1, 3, 8, 8), [DataSample(metainfo=info)])


def test_a_lookup_is_what_the_teacher_says_but_for_its_rounding(logits):
    said = torch.from_numpy(logits[0])
    check_lookup(said.half().float(), said, 'Why?')
    with pytest.raises(ValueError, match=r'differ by .*\. Why\?'):
        check_lookup(said.roll(1, 0), said, 'Why?')
    with pytest.raises(ValueError, match=r'differ by nan .*\. Why\?'):
        check_lookup(torch.full_like(said, torch.nan), said, 'Why?')


def test_half_precision_alone_may_differ_by_a_hundredth(logits):
    said = torch.from_numpy(logits[0])
    found = said + 0.01 * said.abs().max()
    with pytest.raises(ValueError, match='differ by 0.01 of'):
        check_lookup(found, said, '')
    check_lookup(found, said.bfloat16(), '')
    with torch.autocast('cpu', torch.bfloat16):
        check_lookup(found, said, '')


def test_hashes_tell_parts_apart():
    parts = [
        ('a', 'b'),
        ('b', 'a'),
        (torch.zeros(4),),
        (torch.zeros(2, 2),),
        (torch.zeros(4).half(),),
        (np.zeros(4, np.float32),),
        (np.zeros(4, np.int32),),
        (torch.ones(4),),
    ]
    hashes = [hash_of(*each).hexdigest() for each in parts]
    assert hashes == [hash_of(*each).hexdigest() for each in parts]
    assert len(set(hashes[:5] + hashes[6:])) == len(parts) - 1
