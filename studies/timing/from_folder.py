# Copyright (c) mmdckd contributors. All rights reserved.
"""Time the way from a folder of images to an exported student.

Writes 200 images of 5 classes, digits of scikit-learn, into an empty folder, and
calls `mmdckd` as a person does, in a process of its own: the seconds until the
first line, the first line of progress and the end, and those of `mmdckd --help`.
Processor time is what counts on a machine that does other things, too.
"""

import argparse
import json
import os
import os.path as osp
import re
import resource
import subprocess
import sys
import tempfile
import time
from typing import Dict, List, Optional

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

CLASSES, IMAGES = 5, 40
#: A line that says how far a training is.
PROGRESS = re.compile(r'\bepoch\W*\d|Epoch\(train\)', re.I)


def write_images(folder: str, size: int) -> None:
    """Write 40 digits of each of 5 classes as PNG files."""
    digits = load_digits()
    for label in range(CLASSES):
        path = osp.join(folder, f'digit{label}')
        os.makedirs(path)
        for index, image in enumerate(digits.images[digits.target == label][:IMAGES]):
            picture = Image.fromarray((image * 15.9).astype(np.uint8))
            picture.resize((size, size)).save(osp.join(path, f'{index}.png'))


def call(arguments: List[str], folder: str) -> Dict[str, Optional[float]]:
    """Call mmdckd, and take the times of what it prints."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    first = progress = None
    process = subprocess.Popen(
        [sys.executable, '-m', 'mmdckd', *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        first = first or time.monotonic() - start
        if progress is None and PROGRESS.search(line):
            progress = time.monotonic() - start
    if process.wait() != 0:
        raise SystemExit(f'error: mmdckd {" ".join(arguments)} has failed')
    end = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return dict(first_line=first, progress=progress, end=end, processor=processor)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--size', type=int, default=32, help='the side of the images')
    parser.add_argument('--teacher', default='torchvision:resnet18')
    parser.add_argument('--student', default='torchvision:shufflenet_v2_x0_5')
    parser.add_argument('--students', default='4')
    parser.add_argument('--epochs', default='10')
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(dict(command='mmdckd --help', **call(['--help'], folder))))
        write_images(osp.join(folder, 'images'), args.size)
        command = ['train', '--data', 'images', '--teacher', args.teacher]
        command += ['--student', args.student, '--students', args.students]
        command += ['--epochs', args.epochs, '--work-dir', 'run']
        found = call(command, folder)
        print(json.dumps(dict(command=f'mmdckd {" ".join(command)}', **found)))
        exported = os.listdir(osp.join(folder, 'run', 'exported'))
        assert any(name.endswith('.pth') for name in exported)


if __name__ == '__main__':
    main()
