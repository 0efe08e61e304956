# Copyright (c) mmdckd contributors. All rights reserved.
"""Files in the format of Fashion-MNIST, with noise in them."""

import gzip

import numpy as np

#: Images of every class.
NUMBERS = dict(train=36, t10k=6)


def write(path, array):
    """As `idx`: type and number of dimensions, the dimensions, the bytes."""
    head = bytes([0, 0, 8, array.ndim])
    head += b''.join(n.to_bytes(4, 'big') for n in array.shape)
    opened = gzip.open if str(path).endswith('.gz') else open
    with opened(path, 'wb') as file:
        file.write(head + array.tobytes())


def make(folder, suffix='.gz'):
    rng = np.random.default_rng(0)
    for name, number in NUMBERS.items():
        labels = rng.permutation(10 * number) % 10
        images = rng.integers(0, 256, (10 * number, 28, 28), np.uint8)
        write(folder / f'{name}-images-idx3-ubyte{suffix}', images)
        write(folder / f'{name}-labels-idx1-ubyte{suffix}', labels.astype(np.uint8))
    return str(folder)
