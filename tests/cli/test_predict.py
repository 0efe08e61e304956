# Copyright (c) mmdckd contributors. All rights reserved.
import io
import os
import re
import struct
import zlib

import mmcv
import pytest
from PIL import Image

from helpers import warm
from helpers.commands import call, run_tool
from mmdckd.datasets import Digits
from mmdckd.export import export_student
from mmdckd.inference import Predictor
from mmdckd.inference.batches import classify

TOOL = 'tools/predict.py'


def png(width, height):
    """A PNG whose header says a size."""
    image = io.BytesIO()
    Image.new('L', (1, 1)).save(image, 'PNG')
    content = bytearray(image.getvalue())
    content[16:24] = struct.pack('>II', width, height)
    content[29:33] = struct.pack('>I', zlib.crc32(content[12:29]))
    return bytes(content)


@pytest.fixture(scope='module')
def student(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp('predict')
    return export_student(str(trained.checkpoint), str(folder / 'out'))


@pytest.fixture(scope='module')
def images(tmp_path_factory):
    """Six digits in a folder, one in another, and three files besides."""
    folder = tmp_path_factory.mktemp('digits')
    digits = Digits(split='test')
    for index in range(6):
        mmcv.imwrite(digits[index]['img'], str(folder / f'{index}.png'))
    mmcv.imwrite(digits[7]['img'], str(folder / 'more' / '0.png'))
    whole = (folder / '5.png').read_bytes()
    (folder / 'cut.png').write_bytes(whole[: len(whole) // 2])
    (folder / 'text.jpg').write_text('no image')
    (folder / 'notes.txt').write_text('left alone')
    return folder


def test_a_table_pictures_and_what_cannot_be_read(student, images, tmp_path):
    out = tmp_path / 'drawn'
    done = call(
        warm.python(),
        '-W',
        'ignore',
        TOOL,
        student.checkpoint,
        str(images),
        'missing.png',
        '--topk',
        '2',
        '--out-dir',
        str(out),
        '--batch-size',
        '4',
    )
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith('error: ')]
    assert len(errors) == 3
    for name in ('cut.png', 'text.jpg', 'missing.png'):
        assert sum(name in line for line in errors) == 1

    predictor = Predictor(student.checkpoint)
    names = [f'{i}.png' for i in range(6)] + [os.path.join('more', '0.png')]
    lines = done.stdout.splitlines()
    assert lines[0].split() == ['image', 'class', 'score']
    assert len(lines) == 1 + 2 * len(names)
    for index, name in enumerate(names):
        path = str(images / name)
        (scores,) = predictor([predictor.read(path)])
        best = scores.topk(2)
        first, second = (lines[1 + 2 * index].split(), lines[2 + 2 * index].split())
        assert first[0] == path
        assert first[1:] == [str(int(best.indices[0])), f'{float(best.values[0]):.2%}']
        assert second == [str(int(best.indices[1])), f'{float(best.values[1]):.2%}']
    assert '\x1b' not in done.stdout + done.stderr
    assert sorted(p.name for p in out.iterdir()) == [
        '0-2.png',
        '0.png',
        '1.png',
        '2.png',
        '3.png',
        '4.png',
        '5.png',
    ]


def test_images_of_several_sizes_come_in_order(student, images, tmp_path, monkeypatch):
    """A pipeline may leave sizes alone: a batch has images of one size."""
    predictor = Predictor(student.checkpoint)
    paths = []
    for index, side in enumerate((12, 12, 16, 12, 12, 12)):
        paths.append(str(tmp_path / f'{index}.png'))
        mmcv.imwrite(
            mmcv.imresize(mmcv.imread(str(images / '0.png')), (side, side)), paths[-1]
        )
    pack = predictor.pipeline._pack.transforms[-1]
    monkeypatch.setattr(predictor.pipeline, '_pack', pack)
    batches = []
    scores = predictor._scores
    monkeypatch.setattr(
        predictor,
        '_scores',
        lambda batch: batches.append(len(batch['inputs'])) or scores(batch),
    )
    found = list(classify(predictor, paths, 2, []))
    assert [path for path, _ in found] == paths
    assert batches == [2, 1, 2, 1]


def test_hostile_images_are_named_and_the_others_classified(student, images, tmp_path):
    """Names of markup and controls, pipes, loops, strips and bombs."""
    folder = tmp_path / 'in'
    (folder / 'w[').mkdir(parents=True)
    digit = (images / '0.png').read_bytes()
    for name in (
        '[nope].png',
        'w[/x].png',
        '[red]a[/red].png',
        ':smile:.png',
        'a\x1b[31mb.png',
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(digit)
    os.mkfifo(folder / 'pipe.png')
    (folder / 'loop').symlink_to(folder)
    (folder / 'strip.png').write_bytes(png(1, 20000))
    (folder / 'bomb.png').write_bytes(png(20000, 20000))
    command = (
        warm.python(),
        '-W',
        'ignore',
        TOOL,
        student.checkpoint,
        str(folder),
        '--topk',
        '1',
        '--out-dir',
        str(tmp_path / 'out'),
    )
    done = call(*command, '--on-broken', 'skip')
    assert done.returncode == 0, done.stderr
    names = [line.split()[0] for line in done.stdout.splitlines()[1:]]
    assert [name[len(str(folder)) + 1 :] for name in names] == [
        ':smile:.png',
        '[nope].png',
        '[red]a[/red].png',
        'a\\x1b[31mb.png',
        'w[/x].png',
    ]
    assert '\x1b' not in done.stdout + done.stderr
    for line in (
        'skipped {}/pipe.png: it is no regular file',
        'skipped {}/loop: it links to a folder',
        'cannot read {}/strip.png: it has 1 x 20,000 pixels',
        'cannot read {}/bomb.png: it has 20,000 x 20,000 pixels',
    ):
        assert f'warning: {line.format(folder)}' in done.stderr
    assert len([*(tmp_path / 'out').iterdir()]) == 5
    done = call(*command)
    assert done.returncode == 1
    assert f'error: cannot read {folder}/bomb.png' in done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['missing.pth', 'a.png'], "no 'missing.pth'"),
        (['{config}', '{empty}'], 'there is no image in'),
        (['{config}', 'a.png', '--topk', '0'], '--topk should be 1 or more'),
    ],
)
def test_errors_are_one_line(student, tmp_path, arguments, words):
    done = call(
        warm.python(),
        '-W',
        'ignore',
        TOOL,
        *[a.format(config=student.config, empty=tmp_path) for a in arguments],
    )
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.slow
def test_it_exports_to_onnx_and_predicts_with_it(trained, student, images, tmp_path):
    printed = run_tool(
        'export_student.py', trained.checkpoint, '--out', tmp_path, '--onnx'
    )
    path = re.search(r'onnx +(\S+) \(logits differ by up to (\S+)\)', printed)
    assert float(path[2]) < 1e-4
    with_onnx = run_tool('predict.py', path[1], images / '0.png', '--topk', 1)
    plain = run_tool('predict.py', student.checkpoint, images / '0.png', '--topk', 1)
    assert with_onnx.splitlines()[-1] == plain.splitlines()[-1]
