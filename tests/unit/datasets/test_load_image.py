# Copyright (c) mmdckd contributors. All rights reserved.
import io
import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import cv2
import mmcv
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmcv.transforms import LoadImageFromFile
from mmengine.logging import MessageHub, MMLogger
from mmengine.runner import Runner
from PIL import Image
from sklearn.datasets import load_sample_image

from helpers.networks import network
from helpers.runs import run_config
from mmdckd.datasets import Digits, LoadImage
from mmdckd.datasets.load_image import fault_of
from mmdckd.engine.hooks import SkippedImagesHook

PHOTO = load_sample_image('china.jpg')[:60, :80]
ENDINGS = ('jpg', 'png', 'bmp', 'webp')


def written(folder, ending):
    path = folder / f'photo.{ending}'
    mmcv.imwrite(PHOTO, str(path))
    return path


@pytest.mark.parametrize('ending', ENDINGS)
@pytest.mark.parametrize('to_float32', [False, True])
def test_a_whole_image_is_what_mmcv_loads(ending, to_float32, tmp_path):
    path = str(written(tmp_path, ending))
    ours = LoadImage(to_float32=to_float32)(dict(img_path=path))
    theirs = LoadImageFromFile(to_float32=to_float32)(dict(img_path=path))
    assert ours.keys() == theirs.keys()
    assert np.array_equal(ours['img'], theirs['img'])
    assert ours['img'].dtype == theirs['img'].dtype
    for key in ('img_shape', 'ori_shape'):
        assert ours[key] == theirs[key]


def test_it_reads_and_decodes_as_it_is_told(tmp_path, monkeypatch):
    asked = []

    def note(result):
        return lambda source, **options: asked.append(options) or result

    path = written(tmp_path, 'png')
    monkeypatch.setattr('mmengine.fileio.get', note(path.read_bytes()))
    monkeypatch.setattr('mmcv.imfrombytes', note(PHOTO))
    where = dict(backend='local')
    LoadImage(
        color_type='grayscale', imdecode_backend='pillow', backend_args=where
    ).transform(dict(img_path=str(path)))
    assert asked == [dict(backend_args=where), dict(flag='grayscale', backend='pillow')]


@pytest.fixture(scope='module', params=ENDINGS)
def content(request, tmp_path_factory):
    return written(tmp_path_factory.mktemp('image'), request.param).read_bytes()


@given(st.data())
def test_wherever_it_is_cut_off_it_is_seen(content, data):
    assert fault_of(content) is None
    assert fault_of(content + b'\0' * 7) is None
    # What is lost of a PNG may be the check sum of its end alone.
    size = data.draw(st.integers(0, len(content) - 13))
    cut = content[:size]
    if fault_of(cut) is None:
        # Too short to tell what it was.
        assert size < 12
        with pytest.raises((cv2.error, AssertionError)):
            assert mmcv.imfrombytes(cut) is not None


@pytest.mark.parametrize('ending', ENDINGS)
def test_what_follows_the_end_is_ignored(ending, tmp_path):
    path = written(tmp_path, ending)
    path.write_bytes(path.read_bytes() + b'\0' * 100_000)
    assert fault_of(path.read_bytes()) is None
    assert LoadImage()(dict(img_path=str(path)))['img'].shape == PHOTO.shape


def test_a_thumbnail_is_no_end(tmp_path):
    photo = written(tmp_path, 'jpg').read_bytes()
    # As cameras do: a whole JPEG in a segment at the beginning.
    segment = b'\xff\xe1' + (len(photo) + 2).to_bytes(2, 'big') + photo
    whole = photo[:2] + segment + photo[2:]
    assert fault_of(whole) is None
    assert fault_of(whole[:-20]) == 'it is truncated'


def jpeg(**options):
    """A JPEG with a thumbnail in its EXIF data."""
    small, large = io.BytesIO(), io.BytesIO()
    photo = Image.fromarray(PHOTO)
    photo.resize((16, 12)).save(small, 'JPEG')
    exif = b'Exif\0\0' + small.getvalue()
    photo.save(large, 'JPEG', exif=exif, comment=b'\xff\xda\xff\xd9', **options)
    return large.getvalue()


JPEGS = dict(
    baseline=jpeg(),
    progressive=jpeg(progressive=True),
    restarts=jpeg(restart_marker_rows=1),
)


@pytest.mark.parametrize('kind', JPEGS)
@given(size=st.integers(0), appended=st.binary(max_size=99))
def test_a_jpeg_ends_at_the_end_of_its_main_image(kind, size, appended):
    """Phones append a video, in which the start of a scan occurs by chance."""
    content = JPEGS[kind]
    for rest in (appended, b'\xff\xda' + appended, appended + b'\xff'):
        assert fault_of(content + rest) is None
        assert mmcv.imfrombytes(content + rest) is not None
    assert fault_of(content[: 2 + size % (len(content) - 2)]) == 'it is truncated'


@pytest.mark.parametrize('kind', JPEGS)
@given(place=st.integers(0), fill=st.integers(1, 3))
def test_what_decoders_accept_between_segments(kind, place, fill):
    """Markers may have fill bytes before them."""
    content = JPEGS[kind]
    start = content.index(b'\xff\xdb', content.rindex(b'\xff\xfe'))
    padded = content[:start] + b'\xff' * fill + content[start:]
    assert mmcv.imfrombytes(padded) is not None and fault_of(padded) is None
    assert fault_of(padded[: 2 + place % (len(padded) - 2)]) == 'it is truncated'


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


BREAK = dict(
    truncated=truncate,
    empty=lambda path: path.write_bytes(b''),
    text=lambda path: path.write_text('no image'),
    missing=lambda path: path.unlink(),
    folder=lambda path: (path.unlink(), path.mkdir()),
)


@pytest.mark.parametrize('ending', ['jpg', 'png'])
@pytest.mark.parametrize('how', BREAK)
def test_a_broken_image_is_named_or_skipped(how, ending, tmp_path):
    path = written(tmp_path, ending)
    BREAK[how](path)
    message = f'The image .*photo.{ending}.*on_broken'
    with pytest.raises(OSError, match=message):
        LoadImage()(dict(img_path=str(path)))
    skipping = LoadImage(on_broken='skip')
    for number in (1, 2):
        assert skipping(dict(img_path=str(path))) is None
        assert skipping.num_skipped == number


def test_another_answer_is_refused():
    with pytest.raises(ValueError, match="`ignore_empty` .*`on_broken='skip'`"):
        LoadImage(ignore_empty=True)
    with pytest.raises(ValueError, match='`file_client_args` .*`backend_args`'):
        LoadImage(file_client_args=dict(backend='petrel'))
    with pytest.raises(ValueError, match="`on_broken`.*got 'ignore'"):
        LoadImage(on_broken='ignore')


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Digits as files, three of which are truncated."""
    root = tmp_path_factory.mktemp('digits')
    for index, item in enumerate(Digits(split='train', indices=64)):
        path = root / str(item['gt_label']) / f'{index}.jpg'
        mmcv.imwrite(item['img'], str(path))
        if index in (5, 20, 60):
            truncate(path)
    return root


def config(tmp_path, folder, workers, **loading):
    cfg = run_config(
        tmp_path,
        dict(architecture=network(), num_students=2),
        val_dataloader=None,
        val_cfg=None,
        val_evaluator=None,
        custom_hooks=[
            dict(type='mmdckd.ExactResumeHook'),
            dict(type='mmdckd.SkippedImagesHook'),
        ],
    )
    cfg.default_hooks = dict(logger=dict(type='LoggerHook', interval=1))
    cfg.train_dataloader.update(batch_size=16, num_workers=workers)
    cfg.train_dataloader.dataset = dict(
        type='CustomDataset',
        data_root=str(folder),
        pipeline=[dict(type='mmdckd.LoadImage', **loading), dict(type='PackInputs')],
    )
    return cfg


def trained(cfg):
    runner = Runner.from_cfg(cfg)
    runner.train()
    (path,) = Path(runner.work_dir).glob('*/vis_data/scalars.json')
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_skipped_images_are_counted_and_replaced_alike(tmp_path, folder, monkeypatch):
    monkeypatch.setattr(SkippedImagesHook, 'INTERVAL', 1)
    records = [
        trained(config(tmp_path, folder, workers, on_broken='skip'))
        for workers in (0, 2)
    ]
    for losses in zip(*[[r['loss'] for r in each] for each in records]):
        assert losses[0] == losses[1]
    counts = [[r['skipped_images'] for r in each] for each in records]
    # Each at least once in each of the two epochs; more often where one takes
    # the place of another.
    assert counts[0][3] >= 3 and counts[0][-1] >= 6
    assert counts[0][-1] == counts[1][-1]
    for each in counts:
        assert each == sorted(each)


def test_by_default_the_run_stops_and_names_the_image(tmp_path, folder):
    for workers in (0, 1):
        with pytest.raises(OSError, match=r'\d+.jpg.*it is truncated'):
            trained(config(tmp_path, folder, workers))


def test_each_file_is_named_once_in_the_log(tmp_path, caplog):
    path = written(tmp_path, 'jpg')
    truncate(path)
    other = path.with_name('other.jpg')
    shutil.copy(path, other)
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        loading = LoadImage(on_broken='skip')
        for each in (path, path, other):
            loading(dict(img_path=str(each)))
    finally:
        logger.removeHandler(caplog.handler)
    messages = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert len(messages) == 2
    assert str(path) in messages[0] and str(other) in messages[1]


def test_the_count_of_skipped_images_goes_on_in_a_resumed_run(tmp_path):
    loading = LoadImage(on_broken='skip')
    for _ in range(2):
        assert loading(dict(img_path=str(tmp_path / 'missing.jpg'))) is None
    pipeline = SimpleNamespace(transforms=[loading])
    dataloader = SimpleNamespace(dataset=SimpleNamespace(pipeline=pipeline))
    runner = SimpleNamespace(
        iter=9,
        message_hub=MessageHub('resumed'),
        model=torch.nn.Identity(),
        train_loop=SimpleNamespace(dataloader=dataloader),
    )
    runner.message_hub.update_info('skipped_images', 5)
    hook = SkippedImagesHook()
    hook.before_train(runner)
    hook.after_train_iter(runner, 0)
    assert runner.message_hub.get_info('skipped_images') == 7
