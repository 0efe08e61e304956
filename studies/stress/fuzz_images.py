# Copyright (c) mmdckd contributors. All rights reserved.
"""Read and draw hostile images as tools/predict.py does, in little memory."""

import io
import os
import os.path as osp
import random
import resource
import signal
import struct
import tempfile
import zlib
from collections import Counter
from typing import Dict, Tuple

# It has to be imported before OpenMMLab's packages, to make them importable.
import mmdckd  # isort: skip  # noqa: F401
import numpy as np
from fuzzing import finish, fuzz_parser
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from mmpretrain.registry import TRANSFORMS
from PIL import Image

from mmdckd.inference import annotate

EXAMPLE = """example:
  python studies/stress/fuzz_images.py --cases 200 --seed 1
"""
OUTCOMES = ('read', 'refused', 'traceback', 'memory', 'hang')
KINDS = ('PNG', 'JPEG', 'BMP', 'WEBP', 'TIFF', 'GIF', 'PPM')
ENDINGS = dict(
    PNG='png', JPEG='jpg', BMP='bmp', WEBP='webp', TIFF='tiff', GIF='gif', PPM='ppm'
)
SIDES = (0, 1, 2, 3, 100, 101, 10**4, 20000, 65535, 65536, 2**31 - 1, 2**32 - 1)
MODES = ('RGB', 'L', 'P', 'RGBA', 'LA', '1', 'I;16', 'CMYK')


def image(rng: random.Random, kind: str) -> bytes:
    """Create a small image or a strip."""
    width, height = (rng.choice([1, 2, 7, 40, 300]) for _ in range(2))
    if rng.random() < 0.1:
        width, height = rng.choice([(1, 16000), (16000, 1), (3, 9000)])
    pixels = np.frombuffer(rng.randbytes(width * height * 3), np.uint8).reshape(
        height, width, 3
    )
    made = Image.fromarray(pixels)
    try:
        made = made.convert(rng.choice(MODES))
        file = io.BytesIO()
        made.save(file, kind)
    except (OSError, ValueError):  # a mode that the format does not support
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def with_size(content: bytes, kind: str, rng: random.Random) -> bytes:
    """Change the size in the header."""
    content_ = bytearray(content)
    width, height = rng.choice(SIDES), rng.choice(SIDES)
    if kind == 'PNG':
        content_[16:24] = struct.pack('>II', width % 2**32, height % 2**32)
        content_[29:33] = struct.pack('>I', zlib.crc32(content_[12:29]))
    elif kind == 'BMP':
        content_[18:26] = struct.pack('<II', width % 2**32, height % 2**32)
    elif kind == 'GIF':
        content_[6:10] = struct.pack('<HH', width % 65536, height % 65536)
    elif kind == 'JPEG':
        start = max(content_.find(b'\xff\xc0'), content_.find(b'\xff\xc2'))
        if start > 0:
            content_[start + 5 : start + 9] = struct.pack(
                '>HH', height % 65536, width % 65536
            )
    elif kind == 'PPM':
        head, _, rest = content.partition(b'\n')
        size, _, rest = rest.partition(b'\n')
        return head + f'\n{width} {height}\n'.encode() + rest
    else:
        place = rng.randrange(8, min(len(content_), 64))
        content_[place : place + 4] = struct.pack('<I', rng.choice(SIDES))
    return bytes(content_)


def bomb(rng: random.Random) -> bytes:
    """Create a PNG of a few bytes that is huge when it is unpacked."""
    side = rng.choice([14000, 20000, 30000])
    chunks = (
        (b'IHDR', struct.pack('>IIBBBBB', side, side, 8, 0, 0, 0, 0)),
        (b'IDAT', zlib.compress(bytes(side + 1))),
        (b'IEND', b''),
    )
    return b'\x89PNG\r\n\x1a\n' + b''.join(
        struct.pack('>I', len(data))
        + what
        + data
        + struct.pack('>I', zlib.crc32(what + data))
        for what, data in chunks
    )


def spoil(content: bytes, kind: str, done: str, rng: random.Random) -> bytes:
    """Return the bytes of an image after an attack."""
    if done == 'size':
        return with_size(content, kind, rng)
    if done == 'flip':
        damaged = bytearray(content)
        for _ in range(rng.choice([1, 5, 50])):
            damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        return bytes(damaged)
    if done == 'cut':
        return content[: rng.randrange(len(content))]
    if done == 'append':
        return content + rng.randbytes(100)
    if done == 'bomb':
        return bomb(rng)
    if done == 'frames':
        file = io.BytesIO()
        frames = [Image.new('P', (20, 20), i) for i in range(200)]
        frames[0].save(file, 'GIF', save_all=True, append_images=frames[1:])
        return file.getvalue()
    if done == 'noise':
        return rng.randbytes(rng.choice([0, 1, 20, 5000]))
    return content


def make(rng: random.Random, folder: str) -> Tuple[str, str]:
    """Write a hostile image.

    Returns:
        Tuple[str, str]: Its path, and what was done.
    """
    kind = rng.choice(KINDS)
    content = image(rng, kind)
    done = rng.choice(
        [
            'none',
            'size',
            'size',
            'size',
            'flip',
            'flip',
            'cut',
            'append',
            'other ending',
            'bomb',
            'frames',
            'noise',
            'pipe',
            'name',
        ]
    )
    content = spoil(content, kind, done, rng)
    names = dict(bomb='a.png', frames='a.gif')
    name = names.get(done, f'a.{ENDINGS[kind]}')
    if done == 'other ending':
        name = f'a.{ENDINGS[rng.choice(KINDS)]}'
    elif done == 'name':
        name = rng.choice(['[nope].png', '[red].png', 'a\x1b[31m.png', '\u202e.png'])
    path = osp.join(folder, name)
    if done == 'pipe':
        os.mkfifo(path)
    else:
        with open(path, 'wb') as file_:
            file_.write(content)
    return path, done


def fuzz(cases: int, seed: int, folder: str, seconds: int = 60) -> dict:
    """Read and draw images.

    Args:
        cases (int): The number of images.
        seed (int): The seed.
        folder (str): An empty folder to work in.
        seconds (int): The time limit of an image. Defaults to 60.

    Returns:
        dict: The number of images by outcome, and the failures.
    """
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        pipeline = Compose(
            [
                TRANSFORMS.build(t)
                for t in (
                    dict(type='mmdckd.LoadImage'),
                    dict(type='ResizeEdge', scale=256, edge='short'),
                    dict(type='CenterCrop', crop_size=224),
                    dict(type='PackInputs'),
                )
            ]
        )
    counts: Counter = Counter()
    kinds: Dict[str, Counter] = {}
    failures = []

    def late(*_) -> None:
        raise TimeoutError('hang')

    signal.signal(signal.SIGALRM, late)
    for number in range(cases):
        path, done = make(random.Random(f'{seed}-{number}'), folder)
        said = ''
        signal.alarm(seconds)
        try:
            pipeline(dict(img_path=path))
            annotate(path, [('a class', 0.5)]).load()
            outcome = 'read'
        except TimeoutError:
            outcome = 'hang'
        except MemoryError as error:
            outcome, said = 'memory', str(error)
        except OSError as error:
            said = str(error)
            outcome = 'refused' if path in said or 'image' in said else ('traceback')
        except Exception as error:
            outcome, said = 'traceback', f'{type(error).__name__}: {error}'
        signal.alarm(0)
        os.remove(path)
        if 'emory' in said and outcome != 'refused':
            outcome = 'memory'
        counts[outcome] += 1
        kinds.setdefault(done, Counter())[outcome] += 1
        if outcome not in ('read', 'refused'):
            failures.append(
                dict(case=number, outcome=outcome, done=done, said=said[:300])
            )
    return dict(
        cases=cases,
        seed=seed,
        outcomes={name: counts[name] for name in OUTCOMES},
        attacks={name: dict(kinds[name]) for name in sorted(kinds)},
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        failures=failures,
    )


def main() -> None:
    parser = fuzz_parser(__doc__, EXAMPLE, 2000)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = fuzz(args.cases, args.seed, folder)
    finish(args, 'fuzz_images', **result)


if __name__ == '__main__':
    main()
