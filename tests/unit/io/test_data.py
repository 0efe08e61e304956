# Copyright (c) mmdckd contributors. All rights reserved.
"""Files of numbers from elsewhere are refused by name, and run nothing."""

import io
import json
import zipfile

import numpy as np
import pytest

from helpers.cohort_arrays import cohort_arrays
from helpers.sweeps import record
from mmdckd.datasets import Glyph62
from mmdckd.models.teachers import logits_cache
from mmdckd.models.teachers.logits_cache import LogitsCache
from mmdckd.report.recorded_run import read_run
from mmdckd.sweep.results import Results

DEEP = '[' * 100000 + ']' * 100000
MEMBER = dict(name='a', role='student', network='b', parameters=1, macs=1, sources={})


def run_folder(folder, **files):
    """A run of one epoch, some of its files replaced."""
    logs = folder / '20260101_000000' / 'vis_data'
    logs.mkdir(parents=True)
    content = {
        'scalars.json': '{"student0/accuracy/top1": 5.0, "step": 1}\n',
        'config.py': "model = dict(type='A')\n",
        'cohort_summary.json': json.dumps([MEMBER]),
        'cohort_statistics.npz': npz(step=np.array(1), **cohort_arrays()),
    }
    content.update({k.replace('__', '.'): v for k, v in files.items()})
    for name, data in content.items():
        data = data if isinstance(data, bytes) else data.encode()
        (logs / name).write_bytes(data)
    return str(folder)


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def with_arrays(**changes):
    return npz(**{**cohort_arrays(), 'step': np.array(1), **changes})


def bomb(name):
    """A header that asks for a terabyte."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, dict(descr='<f4', fortran_order=False, shape=(10**4, 10**4, 10**4))
    )
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(with_arrays())) as old,
        zipfile.ZipFile(file, 'w') as new,
    ):
        for entry in old.infolist():
            whole = old.read(entry)
            new.writestr(
                entry.filename, header.getvalue() if entry.filename == name else whole
            )
    return file.getvalue()


def test_a_run_is_read_without_running_its_config(tmp_path):
    trace = tmp_path / 'trace'
    assert read_run(run_folder(tmp_path / 'run')).config.model.type == 'A'
    folder = run_folder(tmp_path / 'evil', config__py=f'a = open({str(trace)!r}, "w")')
    with pytest.raises(ValueError, match='config.py.*not run'):
        read_run(folder)
    assert not trace.exists()


@pytest.mark.parametrize(
    'name, content',
    [
        ('scalars.json', '[1]\n'),
        ('scalars.json', '{"step": "1"}\n'),
        ('scalars.json', '{"a": 1}\n'),
        ('scalars.json', '{"a": [1], "step": 1}\n'),
        ('scalars.json', '{"a": {}, "step": 1}\n'),
        ('scalars.json', f'{{"a": {10**400}, "step": 1}}\n'),
        ('scalars.json', f'{{"a": 1, "step": {10**400}}}\n'),
        ('scalars.json', DEEP + '\n'),
        ('scalars.json', b'\xff\n'),
        ('scalars.json', ' ' * (2**20 + 1) + '\n'),
        ('cohort_summary.json', '{}'),
        ('cohort_summary.json', '[{"name": "a"}]'),
        ('cohort_summary.json', json.dumps([dict(MEMBER, sources=dict(a=1))])),
        ('cohort_summary.json', DEEP),
        ('cohort_statistics.npz', b'PK no zip'),
        ('cohort_statistics.npz', npz(members=np.array(['a']))),
        ('cohort_statistics.npz', with_arrays(tau=np.array(None, dtype=object))),
        ('cohort_statistics.npz', with_arrays(bins=np.zeros(3))),
        ('cohort_statistics.npz', with_arrays(correlation=np.zeros((1, 2, 3)))),
        ('cohort_statistics.npz', with_arrays(classes=np.array(['a']))),
        ('cohort_statistics.npz', with_arrays(students=np.array(['nobody']))),
        ('cohort_statistics.npz', bomb('correlation.npy')),
    ],
)
def test_a_file_of_a_run_that_is_none_is_named(name, content, tmp_path):
    folder = run_folder(tmp_path, **{name.replace('.', '__'): content})
    with pytest.raises(ValueError, match=name):
        read_run(folder)


@pytest.mark.parametrize(
    'change',
    [
        dict(name=1),
        dict(seed='0'),
        dict(fingerprint=None),
        dict(students=['a', 1]),
        dict(students='ab'),
        dict(last=None),
        dict(last=dict(epoch=1, val=[], test={})),
        dict(best=dict(epoch='1', val={}, test={})),
        dict(last=dict(epoch=1, val={}, test=dict(a='1'))),
        dict(parameters='1'),
    ],
)
def test_a_result_that_is_none_is_named(change, tmp_path):
    path = tmp_path / 'results.jsonl'
    good = record('kd', 0, dict(a=1.0))
    path.write_text(f'{json.dumps(good)}\n{json.dumps({**good, **change})}\n')
    with pytest.raises(ValueError, match='line 2 of .*results.jsonl.*a result'):
        Results(str(path))


@pytest.mark.parametrize('line', [DEEP, '[]', '3', 'nonsense', '1' * 5000])
def test_a_line_that_is_no_object_is_named(line, tmp_path):
    path = tmp_path / 'results.jsonl'
    path.write_text(line + '\n')
    with pytest.raises(ValueError, match='line 1 of .*results.jsonl'):
        Results(str(path))


@pytest.mark.parametrize(
    'changes',
    [
        dict(labels=np.array([62])),
        dict(labels=np.array([-1])),
        dict(labels=np.array([0, 1])),
        dict(labels=np.array([0.5])),
        dict(images=np.zeros((1, 4, 5), np.uint8)),
        dict(images=np.zeros((1, 4), np.uint8)),
        dict(images=np.zeros((1, 4, 4))),
        dict(fonts=np.array([None])),
        dict(fonts=np.array([0, 1])),
    ],
)
def test_a_split_of_glyphs_that_is_none_is_named(changes, tmp_path):
    arrays = dict(
        images=np.zeros((1, 4, 4), np.uint8), labels=np.array([0]), fonts=np.array([0])
    )
    (tmp_path / 'val.npz').write_bytes(npz(**arrays))
    assert len(Glyph62(str(tmp_path), 'val')) == 1
    (tmp_path / 'val.npz').write_bytes(npz(**{**arrays, **changes}))
    with pytest.raises(ValueError, match='val.npz'):
        Glyph62(str(tmp_path), 'val')


@pytest.mark.parametrize(
    'name, content',
    [
        ('a.json', DEEP.encode()),
        ('a.json', b'[]'),
        ('a.json', b' ' * 10**5),
        ('a.npy', b''),
        ('a.npy', npz(a=np.zeros(3))),
    ],
)
def test_a_cache_of_logits_that_is_none_is_made_anew(name, content, tmp_path):
    shape = (1, 1, 2)
    LogitsCache.create(str(tmp_path), 'a', shape, [np.zeros((1, 2))])
    assert LogitsCache.open(str(tmp_path), 'a', shape) is not None
    (tmp_path / name).write_bytes(content)
    if name == 'a.npy':
        (tmp_path / 'a.json').write_text(
            json.dumps(dict(blake2b=logits_cache._checksum(str(tmp_path / 'a.npy'))))
        )
    assert LogitsCache.open(str(tmp_path), 'a', shape) is None
