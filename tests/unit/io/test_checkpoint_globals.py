# Copyright (c) mmdckd contributors. All rights reserved.
"""What a pickle can do with what torch is told to trust."""

import io
import pickle
import zipfile

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmdckd.models.weights import read_checkpoint


def pickled(*instructions):
    """A pickle of protocol 2, written by hand."""
    return b'\x80\x02' + b''.join(instructions) + b'.'


def name(path):
    module, _, attribute = path.rpartition('.')
    return f'c{module}\n{attribute}\n'.encode()


def value(content):
    """A value without frame and header."""
    return pickle.dumps(content, 2)[2:-1]


def save(path, data):
    """A checkpoint with any pickle in it."""
    buffer = io.BytesIO()
    torch.save(dict(), buffer)
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(path, 'w') as new:
        for entry in old.infolist():
            content = old.read(entry)
            if entry.filename.endswith('data.pkl'):
                content = data
            new.writestr(entry.filename, content)
    return str(path)


REDUCE, NEWOBJ, BUILD = b'R', b'\x81', b'b'
NDARRAY, DTYPE = name('numpy.ndarray'), name('numpy.dtype')
RECONSTRUCT = name('numpy.core.multiarray._reconstruct')
SCALAR = name('numpy.core.multiarray.scalar')
HISTORY = name('mmengine.logging.history_buffer.HistoryBuffer')
LATIN = name('_codecs.encode')


def raw(content):
    """Bytes, as protocol 2 writes them."""
    return LATIN + value((content.decode('latin1'), 'latin1')) + REDUCE


def dtype(code, state=(3, '<', None, None, None, -1, -1, 0)):
    return DTYPE + value((code, False, True)) + REDUCE + value(state) + BUILD


def array(kind, shape=(1,), content=bytes(8), start=(0,), code=b'b'):
    empty = RECONSTRUCT + b'(' + NDARRAY + value(start) + raw(code) + b't' + REDUCE
    state = (
        b'('
        + value(1)
        + value(shape)
        + kind
        + value(False)
        + (
            content
            if isinstance(content, str)
            else raw(content)
            if isinstance(content, bytes)
            else value(content)
        )
        + b't'
    )
    return empty + state + BUILD


HOSTILE = dict(
    pointers=NDARRAY
    + b'('
    + value((64,))
    + value('O')
    + raw(bytes(512))
    + b't'
    + REDUCE,
    new_array=NDARRAY + value(((4,), 'O')) + NEWOBJ,
    objects=array(DTYPE + value(('O8', False, True)) + REDUCE, (1,), [None]),
    object_dtype=dtype('O'),
    void_dtype=dtype('V8'),
    records=DTYPE + value(([('a', 'O')],)) + REDUCE,
    references=dtype('f8', (3, '<', None, None, None, -1, -1, 63)),
    fields=dtype('f8', (3, '<', None, ('a',), dict(a=1), 8, 1, 0)),
    large_dtype=dtype('f8', (3, '<', None, None, None, 800, 1, 0)),
    dtype_without_code=DTYPE
    + value(())
    + NEWOBJ
    + value((3, '<', None, None, None, -1, -1, 0))
    + BUILD,
    too_large=array(dtype('f8'), (10**6,)),
    negative=array(dtype('f8'), (-1,)),
    overflow=array(dtype('f8'), (2**62, 4)),
    filled=array(dtype('f8'), start=(8,)),
    another_class=RECONSTRUCT
    + b'('
    + HISTORY
    + value((0,))
    + raw(b'b')
    + b't'
    + REDUCE,
    long_scalar=SCALAR + b'(' + dtype('f8') + raw(bytes(64)) + b't' + REDUCE,
    object_scalar=SCALAR
    + b'('
    + name('numpy.dtype')
    + value(('O',))
    + REDUCE
    + raw(bytes(8))
    + b't'
    + REDUCE,
    no_dtype=SCALAR + b'(' + value(1) + raw(bytes(8)) + b't' + REDUCE,
    any_attribute=name('builtins.getattr')
    + b'('
    + HISTORY
    + value('__init__')
    + b't'
    + REDUCE,
    registered=name('builtins.getattr')
    + b'('
    + HISTORY
    + value('register_statistics')
    + b't'
    + REDUCE,
    called=name('builtins.getattr')
    + b'('
    + HISTORY
    + value('mean')
    + b't'
    + REDUCE
    + value((1,))
    + REDUCE,
    getattr_itself=name('builtins.getattr') + value((1,)) + NEWOBJ,
    system=name('os.system') + value(('true',)) + REDUCE,
    eval=name('builtins.eval') + value(('1',)) + REDUCE,
    load=name('numpy.load') + value(('a',)) + REDUCE,
    fromfile=name('numpy.fromfile') + value(('a',)) + REDUCE,
    memmap=name('numpy.memmap') + value(('a',)) + REDUCE,
)


@pytest.mark.parametrize('case', HOSTILE)
def test_a_hostile_pickle_is_refused_with_the_name_of_the_file(case, tmp_path):
    path = save(tmp_path / f'{case}.pth', pickled(HOSTILE[case]))
    with pytest.raises(ValueError, match=f'(only weights|PyTorch file).*{case}.pth'):
        read_checkpoint(path, 'teacher_ckpt')


def test_arrays_numbers_and_histories_are_read(tmp_path):
    buffer = HistoryBuffer([1.0, 2.0], [3, 4])
    content = dict(
        history=buffer,
        array=np.arange(6, dtype='i2').reshape(2, 3),
        columns=np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        flags=np.array([True, False]),
        half=np.float16(0.5),
        flag=np.bool_(True),
        number=np.int64(7),
    )
    torch.save(content, tmp_path / 'a.pth')
    read = read_checkpoint(str(tmp_path / 'a.pth'), 'teacher_ckpt')
    for key in ('array', 'columns', 'flags'):
        np.testing.assert_array_equal(read[key], content[key])
        assert read[key].dtype == content[key].dtype
    for key in ('half', 'flag', 'number'):
        assert type(read[key]) is type(content[key])
        assert read[key] == content[key]
    assert read['history'].mean() == buffer.mean()
    # And saved as what they are again.
    again = pickle.dumps(read['array'], 2)
    assert b'mmdckd' not in again
    assert type(pickle.loads(again)) is np.ndarray


def test_an_array_of_another_library_in_the_list_stays_readable(tmp_path):
    """As transformers adds the real classes while it loads."""
    torch.save(dict(a=np.arange(3.0)), tmp_path / 'a.pth')
    real = [np.ndarray, np.dtype, np.dtypes.Float64DType]
    with torch.serialization.safe_globals(real):
        read = torch.load(tmp_path / 'a.pth', weights_only=True)
    np.testing.assert_array_equal(read['a'], np.arange(3.0))


def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path):
    path = tmp_path / 'bomb.pth'
    torch.save(dict(a=torch.zeros(10**6)), tmp_path / 'a.pth')
    with (
        zipfile.ZipFile(tmp_path / 'a.pth') as old,
        zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            new.writestr(entry.filename, old.read(entry))
    with pytest.raises(ValueError, match='bomb.pth.*unpack to 4,0'):
        read_checkpoint(str(path), 'teacher_ckpt')
