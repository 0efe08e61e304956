# Copyright (c) mmdckd contributors. All rights reserved.
import csv
import io
import os
import re
import shutil
import struct
import sys
import zlib
from collections import Counter
from types import SimpleNamespace

import mmcv
import pytest
import torch
from PIL import Image

from helpers import warm
from helpers.commands import call, run_tool
from mmdckd.cli.predict import main, picture_path, top_of
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


class Gone(io.StringIO):
    """A pipe whose reader is gone."""

    def write(self, text):
        raise BrokenPipeError


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
    files = sorted(str(path) for path in images.rglob('*.[pj][np]g'))
    done = call(
        warm.python(),
        '-W',
        'ignore',
        TOOL,
        student.checkpoint,
        *files,
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


def predict(*arguments):
    main([str(argument) for argument in arguments])


def rows_of(path):
    with open(path, newline='', encoding='utf-8') as file:
        return list(csv.DictReader(file))


def test_a_folder_gives_a_csv_file(student, images, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    predict(student.checkpoint, images, '--topk', 3, '--on-broken', 'skip')
    rows = rows_of(tmp_path / 'predictions.csv')
    names = [f'{i}.png' for i in range(6)] + [os.path.join('more', '0.png')]
    assert [row['path'] for row in rows] == [str(images / name) for name in names]
    predictor = Predictor(student.checkpoint)
    for row in rows:
        (scores,) = predictor([predictor.read(row['path'])])
        best = scores.topk(3)
        for rank, ending in enumerate(('', '_2', '_3')):
            assert row[f'class{ending}'] == str(int(best.indices[rank]))
            assert float(row[f'probability{ending}']) == pytest.approx(
                float(best.values[rank]), abs=1e-6
            )
        assert row['label'] == '' and 'class_4' not in row
    printed = capsys.readouterr().out
    for name, count in Counter(row['class'] for row in rows).items():
        assert re.search(rf'^{name} +{count} +{count / 7:.1%}$', printed, re.M)
    assert 'accuracy' not in printed and '7 images in predictions.csv' in printed
    unsure = [
        r for r in rows if 2 * float(r['probability_2']) >= float(r['probability'])
    ]
    assert f'unsure of {len(unsure)} images' in printed
    assert all(row['path'] in printed for row in unsure)


def test_folders_called_like_classes_give_an_accuracy(
    student, images, tmp_path, capsys
):
    digits = Digits(split='test')
    for index in range(0, 40, 2):
        name = f'{digits[index]["gt_label"]}/part/{index}.png'
        mmcv.imwrite(digits[index]['img'], str(tmp_path / 'in' / name))
    mmcv.imwrite(digits[1]['img'], str(tmp_path / 'in' / 'other' / '1.png'))
    out = tmp_path / 'out' / 'here.csv'
    predict(student.checkpoint, tmp_path / 'in', '--topk', 1, '--csv', out)
    rows = rows_of(out)
    labeled = [row for row in rows if row['label']]
    assert len(rows) == 21 and len(labeled) == 20
    for row in labeled:
        assert row['label'] == row['path'].split(os.sep)[-3]
    right = sum(row['class'] == row['label'] for row in labeled)
    printed = capsys.readouterr().out
    assert 0 < right < 20
    assert f'accuracy {right / 20:.2%}: {right} of 20 images' in printed


def test_an_image_that_is_named_twice_counts_once(student, images, tmp_path):
    """It was classified twice, and lost the label of its folder."""
    (tmp_path / 'in' / '3').mkdir(parents=True)
    paths = [tmp_path / 'in' / '3' / f'{index}.png' for index in range(2)]
    for path in paths:
        path.write_bytes((images / '0.png').read_bytes())
    named = (tmp_path / 'in', paths[1], paths[1].parent)
    for order in (named, named[:2], (paths[0], named[0])):
        predict(student.checkpoint, *order, '--csv', tmp_path / 'x.csv')
        rows = rows_of(tmp_path / 'x.csv')
        assert [(row['path'], row['label']) for row in rows] == [
            (str(path), '3') for path in paths
        ]


def test_a_csv_file_of_files_keeps_the_table(student, images, tmp_path, capsys):
    out = tmp_path / 'x.csv'
    predict(student.checkpoint, images / '0.png', '--csv', out, '--topk', 1)
    (row,) = rows_of(out)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['image', 'class', 'score']
    assert lines[1].split()[:2] == [row['path'], row['class']]
    assert len(lines) == 3 and 'unsure' not in ''.join(lines)
    assert float(row['probability_2']) <= float(row['probability'])


def test_a_picture_has_no_longer_name_than_a_file_may(tmp_path):
    taken = set()
    paths = [picture_path(str(tmp_path), 'é' * 120 + '.png', taken) for _ in range(2)]
    stems = [os.path.basename(path)[: -len('.png')] for path in paths]
    assert stems == ['é' * 100, 'é' * 100 + '-2']


def test_at_least_two_classes_are_kept_if_there_are_two():
    predictor = SimpleNamespace(name_of='abc'.__getitem__)
    kept = [
        [name for name, _ in top_of(predictor, torch.tensor(scores), topk)]
        for scores, topk in (([0.1, 0.7, 0.2], 1), ([0.1, 0.9], 5), ([1.0], 5))
    ]
    assert kept == [['b', 'c'], ['b', 'a'], ['a']]


def test_a_file_beside_a_folder_is_in_the_summary(student, images, tmp_path, capsys):
    file = tmp_path / '0.png'
    shutil.copy(images / '0.png', file)
    predict(student.checkpoint, file, images / 'more', '--csv', tmp_path / 'x.csv')
    printed = capsys.readouterr().out
    assert printed.startswith('class ') and '2 images in' in printed


def test_of_images_with_too_many_pixels_nothing_is_told(
    student, images, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for place, file in (('0.png', '0.png'), ('more', 'more/0.png')):
        limit = ('--max-pixels', 63, '--on-broken', 'skip')
        predict(student.checkpoint, images / place, *limit)
        printed = capsys.readouterr()
        assert not printed.out and not list(tmp_path.iterdir())
        said = f'cannot read {images / file}: it has 8 x 8 pixels, more than 63'
        assert said in printed.err


def test_a_device_is_no_file_to_replace(student, images, tmp_path, monkeypatch):
    """Nor has its folder to be writable."""
    monkeypatch.setattr('mmdckd.io.files.check_writable', None)
    pipe = tmp_path / 'pipe'
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        predict(student.checkpoint, images / '0.png', '--csv', pipe)
        assert os.read(reader, 10) == b'path,label'
    finally:
        os.close(reader)
    assert pipe.is_fifo()


@pytest.mark.parametrize('place', ['0.png', ''])
def test_any_output_will_do(student, images, tmp_path, monkeypatch, place):
    """One that cannot encode a name, one that is closed, or one nobody reads."""
    monkeypatch.setattr(Predictor, 'name_of', lambda self, label: f'é{label}')
    written, csv = io.BytesIO(), tmp_path / 'x.csv'
    command = (student.checkpoint, images / place, '--csv', csv, '--topk', 1)
    command += ('--on-broken', 'skip')
    for stdout in (io.TextIOWrapper(written, 'ascii'), None, Gone()):
        monkeypatch.setattr(sys, 'stdout', stdout)
        predict(*command)
        assert rows_of(csv)[0]['class'].startswith('é')
        csv.unlink()
    assert b'\\xe9' in written.getvalue()


@pytest.mark.parametrize(
    'place, words',
    [('file/x.csv', 'Not a directory'), ('in', 'expected a file, got the folder')],
)
def test_a_csv_file_that_cannot_be_is_refused_first(
    student, images, tmp_path, monkeypatch, place, words
):
    (tmp_path / 'file').write_text('')
    (tmp_path / 'in').mkdir()
    monkeypatch.setattr('mmdckd.inference.batches.classify', None)
    with pytest.raises(SystemExit, match=f'Invalid `--csv`.*{words}'):
        predict(student.checkpoint, images, '--csv', tmp_path / place)


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
    rows = rows_of(tmp_path / 'out' / 'predictions.csv')
    names = [':smile:.png', '[nope].png', '[red]a[/red].png', 'a\x1b[31mb.png']
    names.append('w[/x].png')
    assert [row['path'][len(str(folder)) + 1 :] for row in rows] == names
    files = map(str, sorted(folder.rglob('*.png')))
    files = [path for path in files if path[len(str(folder)) + 1 :] in names]
    table = call(*command[:-5], *files, '--topk', '1').stdout
    shown = [line.split()[0] for line in table.splitlines()[1:]]
    names[3] = 'a\\x1b[31mb.png'
    assert [name[len(str(folder)) + 1 :] for name in shown] == names
    assert '\x1b' not in table
    assert '\x1b' not in done.stdout + done.stderr
    for line in (
        'skipped {}/pipe.png: it is not a regular file',
        'skipped {}/loop: it links to a folder',
        'cannot read {}/strip.png: it has 1 x 20,000 pixels',
        'cannot read {}/bomb.png: it has 20,000 x 20,000 pixels',
    ):
        assert f'warning: {line.format(folder)}' in done.stderr
    assert len([*(tmp_path / 'out').glob('*.png')]) == 5
    done = call(*command)
    assert done.returncode == 1
    assert f'error: cannot read {folder}/bomb.png' in done.stderr
    assert 'Traceback' not in done.stderr


def test_what_a_folder_has_besides_images_is_named(
    student, images, tmp_path, monkeypatch, capsys
):
    for name in ('0.png', 'locked/1.png'):
        (tmp_path / 'in' / name).parent.mkdir(exist_ok=True)
        (tmp_path / 'in' / name).write_bytes((images / '0.png').read_bytes())
    for name in ('photo.gif', 'a\x1b[31mb', '.hidden'):
        (tmp_path / 'in' / name).touch()
    locked, scandir = str(tmp_path / 'in' / 'locked'), os.scandir

    def list_folder(path):
        if str(path) == locked:
            raise PermissionError(13, 'Permission denied', path)
        return scandir(path)

    monkeypatch.setattr(os, 'scandir', list_folder)
    out = tmp_path / 'out.csv'
    predict(student.checkpoint, tmp_path / 'in', '--csv', out, '--on-broken', 'skip')
    assert len(rows_of(out)) == 1
    said = capsys.readouterr().err
    assert f'warning: cannot read {locked}: Permission denied' in said
    assert 'warning: files that are not images (2): ' in said and 'photo.gif' in said
    assert 'a\\x1b[31mb' in said and 'hidden' not in said
    with pytest.raises(SystemExit, match=f'error: cannot read {locked}: Permission'):
        predict(student.checkpoint, tmp_path / 'in', '--csv', out)
    with pytest.raises(SystemExit, match='Invalid `images`: expected images in'):
        predict(student.checkpoint, locked)
    assert f'cannot read {locked}: Permission denied' in capsys.readouterr().err


def test_an_image_that_cannot_be_drawn_is_classified(
    student, images, tmp_path, monkeypatch, capsys
):
    """Decoders raise errors of any type; a full disk is one that is usual."""

    def fail(path, top):
        if path.endswith('2.png'):
            raise struct.error('required argument is not an integer')
        return Image.new('RGB', (8, 8))

    monkeypatch.setattr('mmdckd.inference.annotate', fail)
    for index in range(4):
        (tmp_path / f'{index}.png').write_bytes((images / '0.png').read_bytes())
    out = tmp_path / 'drawn'
    arguments = (student.checkpoint, tmp_path, '--out-dir', out)
    predict(*arguments, '--on-broken', 'skip')
    assert len(rows_of(out / 'predictions.csv')) == 4
    assert sorted(p.name for p in out.glob('*.png')) == ['0.png', '1.png', '3.png']
    said = f'cannot draw {tmp_path}/2.png: required argument is not an integer'
    assert f'warning: {said}' in capsys.readouterr().err
    shutil.rmtree(out)
    with pytest.raises(SystemExit, match=f'error: {said}'):
        predict(*arguments)
    assert len(rows_of(out / 'predictions.csv')) == 4


def test_pictures_never_replace_the_images(student, images, tmp_path):
    digit = (images / '0.png').read_bytes()
    for name in ('0.png', '1.png'):
        (tmp_path / name).write_bytes(digit)
    (tmp_path / 'link.png').symlink_to(tmp_path / '1.png')
    predict(student.checkpoint, tmp_path, '--out-dir', tmp_path, '--topk', 1)
    for name in ('0.png', '1.png', 'link.png'):
        assert (tmp_path / name).read_bytes() == digit
    drawn = sorted(path.name for path in tmp_path.glob('*-2.png'))
    assert drawn == ['0-2.png', '1-2.png', 'link-2.png']
    # The image, and the line of one class.
    assert Image.open(tmp_path / drawn[0]).size == (360, 360 + 26)


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['missing.pth', 'a.png'], "got 'missing.pth'"),
        (['{config}', '{empty}'], 'Invalid `images`: expected images in'),
        (['{config}', 'a.png', '--topk', '0'], '--topk: expected 1 or more, got 0'),
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
