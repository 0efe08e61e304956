# Copyright (c) mmdckd contributors. All rights reserved.
"""Classify images with an exported student: print a table, or write a CSV file
and a summary for a folder."""

import argparse
import os
import os.path as osp
import sys
from io import StringIO
from typing import TYPE_CHECKING, Dict, List, Optional, Set, TextIO, Tuple

from mmdckd.console.calm_console import open_console, print_line

from .arguments import command_parser
from .errors import one_error_line

if TYPE_CHECKING:
    from torch import Tensor

    from mmdckd.inference import Predictor
    from mmdckd.inference.summary import Prediction

EXAMPLES = """examples:
  # the three most likely classes of each image
  %(prog)s exported/student0.pth image.png photo.jpg --topk 3

  # all images in a folder: predictions.csv, and how many images per class;
  # images that cannot be read are listed, the others are classified
  %(prog)s exported/student0.pth images/

  # with ONNX or INT8, and write each image with its classes below it
  %(prog)s exported/student0.int8.onnx images/ --out-dir predicted
"""
#: Class names and their scores.
Top = List[Tuple[str, float]]


def parse_args(
    argv: Optional[List[str]] = None, prog: str = 'mmdckd predict'
) -> argparse.Namespace:
    parser = command_parser(prog, __doc__, EXAMPLES)
    parser.add_argument(
        'model',
        metavar='MODEL',
        help='a file that `mmdckd export` wrote: NAME.pth, NAME.py, '
        'NAME.safetensors, NAME.onnx or NAME.int8.onnx, with NAME.py beside it; '
        'NAME.py is a config and is executed',
    )
    parser.add_argument(
        'images',
        nargs='+',
        metavar='IMAGE',
        help='an image file, or a folder with images at any depth; for a folder, a '
        'CSV file and a summary replace the table',
    )
    parser.add_argument(
        '--csv',
        metavar='FILE',
        help='the CSV file to write: one row per image, with its --topk classes, at '
        'least two (for a folder, default: predictions.csv, in --out-dir if given)',
    )
    parser.add_argument(
        '--topk',
        type=int,
        default=5,
        help='classes to show per image (default: %(default)s)',
    )
    parser.add_argument(
        '--out-dir',
        metavar='DIR',
        help='a folder to write each image to, with its classes below it',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=32,
        help='images per batch (default: %(default)s)',
    )
    parser.add_argument(
        '--max-pixels',
        type=int,
        help='do not decode images with more pixels than this (default: the limit '
        'of Pillow, 178956970)',
    )
    parser.add_argument(
        '--on-broken',
        choices=['error', 'skip'],
        default='error',
        help='what to do at the end if images could not be read: exit with an '
        'error, or only list them (default: %(default)s)',
    )
    args = parser.parse_args(argv)
    for name in ('topk', 'batch_size', 'max_pixels'):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(
                f'argument --{name.replace("_", "-")}: expected 1 or more, got {value}'
            )
    return args


def find_images(paths: List[str], unread: List[str]) -> Dict[str, str]:
    """Find the image files that paths name, those in a folder sorted, each once,
    with the first folder that it was found in, or ''; a line is appended for each
    folder that cannot be read."""
    from mmdckd.easy.folder_checks import not_images
    from mmdckd.io.images import ENDINGS, find_files

    def keep(error: OSError) -> None:
        unread.append(f'{error.filename}: {error.strerror}')

    files: Dict[str, str] = {}
    for path in paths:
        if osp.isdir(path):
            found, skipped = find_files(path, [''], keep)
            inside = [file for file in found if file.lower().endswith(ENDINGS)]
            others = [file for file in found if not file.lower().endswith(ENDINGS)]
            for line in [f'skipped {line}' for line in skipped] + not_images(others):
                print(f'warning: {shown(line)}', file=sys.stderr)
            if not inside:
                name_faults(unread, [], fail=False)
                raise SystemExit(
                    f'error: Invalid `images`: expected images in {path!r}, got none.'
                )
            for file in inside:
                files[file] = files.get(file) or path
        else:
            files.setdefault(path, '')
    return files


def is_terminal(stream: Optional[TextIO]) -> bool:
    """Tell whether a stream is a terminal; None, a closed one, is not."""
    return stream is not None and stream.isatty()


def shown(text: str) -> str:
    """Escape the characters of a text that would control a terminal."""
    return ''.join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def top_of(predictor: 'Predictor', scores: 'Tensor', topk: int) -> Top:
    """Return the best classes and their scores, at least two."""
    best = scores.topk(min(max(topk, 2), len(scores)))
    return [
        (predictor.name_of(int(label)), float(score)) for score, label in zip(*best)
    ]


def picture_path(folder: str, path: str, taken: Set[str]) -> str:
    """Return where to write the picture of an image; the names of taken files get
    numbers."""
    from mmdckd.io.files import path_below

    stem, file, number = osp.splitext(osp.basename(path))[0], '', 1
    stem = os.fsdecode(os.fsencode(stem)[:200])
    while not file or osp.realpath(file) in taken:
        name = f'{stem}.png' if number == 1 else f'{stem}-{number}.png'
        file = path_below(folder, name)
        number += 1
    taken.add(osp.realpath(file))
    return file


@one_error_line()
def main(argv: Optional[List[str]] = None, prog: str = 'mmdckd predict') -> None:
    args = parse_args(argv, prog)
    with open_console(args.verbose):
        run(args)


def run(args: argparse.Namespace) -> None:
    """Classify the images that the arguments name."""
    from rich.console import Console
    from rich.progress import track

    from mmdckd.inference import Predictor
    from mmdckd.inference.batches import classify
    from mmdckd.inference.image_files import label_of
    from mmdckd.inference.summary import Prediction, summarize, write_csv
    from mmdckd.io.images import MAX_PIXELS

    unread: List[str] = []
    images = find_images(args.images, unread)
    out = csv_path(args)
    predictor = Predictor(args.model, args.max_pixels or MAX_PIXELS)
    if args.out_dir:
        os.makedirs(args.out_dir, exist_ok=True)
    undrawn: List[str] = []
    # No picture replaces an image that is classified.
    taken = set(map(osp.realpath, images))
    predictions = []
    for path, scores in track(
        classify(predictor, list(images), args.batch_size, unread),
        'images',
        total=len(images),
        console=Console(stderr=True),
        transient=True,
        disable=not is_terminal(sys.stderr),
    ):
        top = top_of(predictor, scores, args.topk)
        names = [predictor.name_of(label) for label in range(len(scores))]
        label = label_of(path, images[path], names) if images[path] else None
        predictions.append(
            Prediction(path, top, None if label is None else names[label])
        )
        if args.out_dir:
            try:
                draw(path, top[: args.topk], args.out_dir, taken)
            except Exception as error:  # decoders raise errors of any type
                undrawn.append(f'{path}: {error}')
    if predictions and out:
        write_csv(predictions, out)
    if predictions and any(images.values()):
        for line in summarize(predictions):
            print_line(shown(line))
    elif predictions:
        print_table(predictions, args.topk)
    if predictions and out:
        print_line(f'{len(predictions):,} images in {shown(out)}')
    name_faults(unread, undrawn, args.on_broken == 'error')


def csv_path(args: argparse.Namespace) -> Optional[str]:
    """Return the CSV file to write, if any; raise if it cannot be written."""
    from mmdckd.io.files import check_writable_file

    path = args.csv
    if path is None and any(map(osp.isdir, args.images)):
        path = osp.join(args.out_dir or '', 'predictions.csv')
    if path is not None:
        check_writable_file(path, '--csv')
    return path


def draw(path: str, top: Top, folder: str, taken: Set[str]) -> None:
    """Write an image with its classes below it."""
    from mmdckd.inference import annotate
    from mmdckd.io.files import replacing

    with replacing(picture_path(folder, path, taken)) as beside:
        annotate(path, top).save(beside, 'PNG')


def print_table(predictions: List['Prediction'], topk: int) -> None:
    """Print the best classes of each image."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table('image', 'class', 'score', box=None, pad_edge=False)
    table.columns[2].justify = 'right'
    for column in table.columns[:2]:
        column.overflow = 'fold'
    for path, top, _ in predictions:
        for row, (name, score) in enumerate(top[:topk]):
            table.add_row(
                Text('' if row else shown(path)), Text(shown(name)), f'{score:.2%}'
            )
    text, terminal = StringIO(), is_terminal(sys.stdout)
    # In a file or a pipe, lines are as long as they need to be.
    width = None if terminal else 10**4
    Console(file=text, force_terminal=terminal, width=width).print(table)
    print_line(text.getvalue().rstrip('\n'))


def name_faults(unread: List[str], undrawn: List[str], fail: bool) -> None:
    """List the images that could not be read or drawn; exit if that is an error."""
    kind = 'error' if fail else 'warning'
    lines = [
        f'{kind}: cannot {what} {shown(line)}'
        for what, faults in (('read', unread), ('draw', undrawn))
        for line in faults
    ]
    if lines and fail:
        raise SystemExit('\n'.join(lines))
    for line in lines:
        print(line, file=sys.stderr)
