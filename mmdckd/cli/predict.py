# Copyright (c) mmdckd contributors. All rights reserved.
"""Classify images with an exported student, and show what it says."""

import argparse
import os
import os.path as osp
import sys
from typing import Iterator, List, Optional, Tuple

# Before all of OpenMMLab, which it makes work on today's torch.
import mmdckd  # isort: skip  # noqa: F401
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text
from torch import Tensor

from mmdckd.cli.errors import one_error_line
from mmdckd.inference import Predictor, annotate
from mmdckd.io.files import path_below, replacing
from mmdckd.io.images import MAX_PIXELS, find_files

EXAMPLES = """examples:
  # the three classes that the student finds most likely, of each image
  %(prog)s exported/student0.pth image.png photo.jpg --topk 3

  # all images in a folder, each with a picture of what was said; with ONNX;
  # an image that cannot be read is named, and the others are classified
  %(prog)s exported/student0.onnx images/ --out-dir predicted
"""
ENDINGS = ('.bmp', '.jpeg', '.jpg', '.png', '.ppm', '.tif', '.tiff', '.webp')


def parse_args(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd predict'
) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=prog,
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'model',
        metavar='MODEL',
        help='what tools/export_student.py has written: NAME.pth, NAME.py, '
        'NAME.safetensors or NAME.onnx, with NAME.py beside it; that is a '
        'config, which is run',
    )
    parser.add_argument(
        'images',
        nargs='+',
        metavar='IMAGE',
        help='an image file, or a folder: all images in it and below',
    )
    parser.add_argument(
        '--topk',
        type=int,
        default=5,
        help='how many classes to show of each image (default: %(default)s)',
    )
    parser.add_argument(
        '--out-dir',
        metavar='DIR',
        help='the folder to write each image to with its classes below it',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=32,
        help='how many images to classify at a time (default: %(default)s)',
    )
    parser.add_argument(
        '--max-pixels',
        type=int,
        default=MAX_PIXELS,
        help='how many pixels an image may have; one with more is not decoded '
        '(default: %(default)s)',
    )
    parser.add_argument(
        '--on-broken',
        choices=['error', 'skip'],
        default='error',
        help='what to do at the end where images could not be read: exit with '
        'an error, or only name them (default: %(default)s)',
    )
    args = parser.parse_args(argv)
    for name in ('topk', 'batch_size', 'max_pixels'):
        if getattr(args, name) < 1:
            parser.error(f'--{name.replace("_", "-")} should be 1 or more')
    return args


def find_images(paths: List[str]) -> List[str]:
    """The image files that paths name, those of a folder in order."""
    files = []
    for path in paths:
        if osp.isdir(path):
            inside, skipped = find_files(path, ENDINGS)
            for line in skipped:
                print(f'warning: skipped {shown(line)}', file=sys.stderr)
            if not inside:
                raise SystemExit(f'error: there is no image in {path!r}')
            files += inside
        else:
            files.append(path)
    return files


def shown(text: str) -> str:
    """Text as a terminal can show it, without what would control it."""
    return ''.join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def classify(
    predictor: Predictor, paths: List[str], batch_size: int, unread: List[str]
) -> Iterator[Tuple[str, Tensor]]:
    """Classify images, as many of one size at a time as follow each other.

    Args:
        predictor (Predictor): The network.
        paths (List[str]): The image files.
        batch_size (int): How many images there are at most in a batch.
        unread (List[str]): Takes a message for each that cannot be read.

    Yields:
        Tuple[str, Tensor]: The path and the scores, of shape (C, ).
    """
    batch: List[Tuple[str, dict]] = []

    def scores() -> Iterator[Tuple[str, Tensor]]:
        if batch:
            names, images = zip(*batch)
            yield from zip(names, predictor(list(images)))
            batch.clear()

    for path in paths:
        try:
            image = predictor.read(path)
        except Exception as error:  # of pipelines and decoders, any
            unread.append(f'{path}: {error.__cause__ or error}')
            continue
        if len(batch) == batch_size or (
            batch and batch[0][1]['inputs'].shape != image['inputs'].shape
        ):
            yield from scores()
        batch.append((path, image))
    yield from scores()


def top_of(predictor: Predictor, scores: Tensor, topk: int) -> List[Tuple[str, float]]:
    """The best classes and their scores."""
    best = scores.topk(min(topk, len(scores)))
    return [
        (predictor.name_of(int(label)), float(score)) for score, label in zip(*best)
    ]


def picture_path(folder: str, path: str, taken: set) -> str:
    """Where the picture of an image goes; equal names get numbers."""
    stem, name, number = osp.splitext(osp.basename(path))[0], '', 1
    stem = os.fsdecode(os.fsencode(stem)[:200])
    while not name or name in taken:
        name = f'{stem}.png' if number == 1 else f'{stem}-{number}.png'
        number += 1
    taken.add(name)
    return path_below(folder, name)


@one_error_line()
def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd predict') -> None:
    args = parse_args(argv, prog)
    paths = find_images(args.images)
    predictor = Predictor(args.model, args.max_pixels)
    table = Table('image', 'class', 'score', box=None, pad_edge=False)
    table.columns[2].justify = 'right'
    for column in table.columns[:2]:
        column.overflow = 'fold'
    unread: List[str] = []
    taken: set = set()
    if args.out_dir:
        os.makedirs(args.out_dir, exist_ok=True)
    predictions = classify(predictor, paths, args.batch_size, unread)
    for path, scores in track(
        predictions,
        'images',
        total=len(paths),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    ):
        top = top_of(predictor, scores, args.topk)
        for row, (name, score) in enumerate(top):
            table.add_row(
                Text('' if row else shown(path)), Text(shown(name)), f'{score:.2%}'
            )
        if args.out_dir:
            try:
                with replacing(picture_path(args.out_dir, path, taken)) as beside:
                    annotate(path, top).save(beside, 'PNG')
            except (OSError, ValueError) as error:
                unread.append(f'{path}: {error}')
    # In a file or a pipe a line is as long as it needs to be.
    console = Console() if sys.stdout.isatty() else Console(width=10**4)
    if table.rows:
        console.print(table)
    kind = 'error' if args.on_broken == 'error' else 'warning'
    lines = [f'{kind}: cannot read {shown(line)}' for line in unread]
    if lines and kind == 'error':
        raise SystemExit('\n'.join(lines))
    for line in lines:
        print(line, file=sys.stderr)
