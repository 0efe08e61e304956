# Copyright (c) mmdckd contributors. All rights reserved.
import multiprocessing
import resource

import numpy as np
import pytest

from mmdckd.models.teachers.record_file import RecordFile

RECORD = np.dtype([('values', 'float16', (300,))])
PLACES = 64
SIZE = PLACES * (4 + 8 + 600)


def opened(folder, name='key/0', places=PLACES, max_bytes=10**9):
    return RecordFile.open(str(folder), name, RECORD, places, max_bytes)


def records(images):
    values = np.zeros(len(images), RECORD)
    values['values'] = np.asarray(images)[:, None] % 1000
    return values


def prints(*numbers):
    return np.array(numbers, np.uint64)


def test_what_was_written_is_read(tmp_path):
    file = opened(tmp_path)
    assert len(file) == PLACES
    for places in (range(4, 7), range(10, 15, 2), [20, 21, 30]):
        images = prints(7, 8, 2**63 + 9)
        assert file.read(places, images) is None
        file.write(places, images, records(images))
        for reader in (file, opened(tmp_path)):
            assert (reader.read(places, images) == records(images)).all()
    assert file.read(range(4, 8), prints(7, 8, 9, 0)) is None
    assert file.read(range(0, 3), prints(0, 0, 0)) is None  # of zeros only


def test_places_past_the_end_are_dropped(tmp_path):
    file = opened(tmp_path)
    images = prints(1, 2, 3)
    file.write(range(PLACES - 2, PLACES + 1), images, records(images))
    assert file.read(range(PLACES - 2, PLACES + 1), images) is None
    found = file.read(range(PLACES - 2, PLACES), images[:2])
    assert (found == records(images[:2])).all()
    file.write(range(PLACES, PLACES + 3), images, records(images))
    assert (tmp_path / 'key/0.logits').stat().st_size == SIZE


@pytest.mark.parametrize('offset', [0, 5, 20, 611])
def test_any_changed_byte_makes_a_record_missing(tmp_path, offset):
    file, images = opened(tmp_path), prints(5, 6)
    file.write(range(0, 2), images, records(images))
    path = tmp_path / 'key/0.logits'
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)
    file = opened(tmp_path)
    assert file.read(range(0, 1), images[:1]) is None
    assert (file.read(range(1, 2), images[1:]) == records(images[1:])).all()


def test_a_record_of_another_image_is_missing(tmp_path):
    file = opened(tmp_path)
    file.write(range(0, 1), prints(5), records(prints(5)))
    assert file.read(range(0, 1), prints(6)) is None


def test_a_file_of_another_size_is_replaced(tmp_path):
    opened(tmp_path, places=PLACES + 1)
    assert len(opened(tmp_path)) == PLACES


def test_a_disk_that_fills_up_within_a_record(tmp_path):
    file, images = opened(tmp_path), prints(5, 6)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, hard))
    try:
        with pytest.raises(OSError, match='No space left'):
            file.write(range(0, 2), images, records(images))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (file.read(range(0, 1), images[:1]) == records(images[:1])).all()
    assert file.read(range(1, 2), images[1:]) is None


def test_files_share_a_bound(tmp_path):
    (tmp_path / 'enumerated.npy').write_bytes(bytes(SIZE))
    assert opened(tmp_path, max_bytes=SIZE - 1) is None
    assert opened(tmp_path, 'one/0', max_bytes=2 * SIZE) is not None
    assert opened(tmp_path, 'two/0', max_bytes=2 * SIZE) is not None
    assert opened(tmp_path, 'two/1', max_bytes=2 * SIZE) is None
    # Those that are there are opened all the same.
    assert opened(tmp_path, 'one/0', max_bytes=1) is not None


def write_all(folder, begin, seed):
    """Write every place many times, always its record or one of two images."""
    begin.wait()
    file = opened(folder)
    random = np.random.RandomState(seed)
    for place in random.permutation(np.repeat(np.arange(PLACES), 20)):
        images = prints(place if place % 2 else place + 1000 * random.randint(2))
        file.write(range(place, place + 1), images, records(images))


def test_two_processes_write_at_once(tmp_path):
    """Nobody ever reads what nobody has written."""
    context = multiprocessing.get_context('fork')
    begin = context.Barrier(3)
    writers = [
        context.Process(target=write_all, args=(tmp_path, begin, seed))
        for seed in range(2)
    ]
    for writer in writers:
        writer.start()
    begin.wait()
    file, found = opened(tmp_path), 0
    while any(writer.is_alive() for writer in writers) or not found:
        for place in range(PLACES):
            for images in (prints(place), prints(place + 1000)):
                read = file.read(range(place, place + 1), images)
                if read is not None:
                    found += 1
                    assert (read == records(images)).all()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    odd = np.arange(1, PLACES, 2)
    images = odd.astype(np.uint64)
    assert (file.read(range(1, PLACES, 2), images) == records(images)).all()
