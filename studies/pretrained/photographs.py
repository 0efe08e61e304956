# Copyright (c) mmdckd contributors. All rights reserved.
"""Build a small dataset of tiles of photographs from packages."""

import os
import os.path as osp
from importlib.util import find_spec
from typing import Dict

from PIL import Image

#: Class to the package with its photograph, and the file in it.
PHOTOGRAPHS = {
    'astronaut': ('skimage', 'data/astronaut.png'),
    'cat': ('skimage', 'data/chelsea.png'),
    'coffee': ('skimage', 'data/coffee.png'),
    'flower': ('sklearn', 'datasets/images/flower.jpg'),
    'grass': ('skimage', 'data/grass.png'),
    'gravel': ('skimage', 'data/gravel.png'),
    'motorcycle': ('skimage', 'data/motorcycle_left.png'),
    'temple': ('sklearn', 'datasets/images/china.jpg'),
}
#: Side of a tile, and of the central crop of a large photograph, in pixels.
SIDE, LARGEST = 64, 384


def make_tiles(root: str) -> Dict[str, int]:
    """Cut every photograph into tiles; each photograph is a class.

    Of four tiles in a square, one is for training, the one diagonally opposite is
    for validation, and the others are left out, so that no two tiles overlap or
    share an edge. All are gray, because colors alone would tell the photographs
    apart.

    Args:
        root (str): The folder to write ``train`` and ``val`` to.

    Returns:
        Dict[str, int]: The number of tiles of each of the two.

    Raises:
        ModuleNotFoundError: If a package is missing.
    """
    counts = dict(train=0, val=0)
    for name, (package, file) in PHOTOGRAPHS.items():
        photograph = _middle(Image.open(_path(package, file)).convert('L'))
        for row in range(photograph.height // SIDE):
            for column in range(photograph.width // SIDE):
                if row % 2 != column % 2:
                    continue
                part = 'val' if row % 2 else 'train'
                folder = osp.join(root, part, name)
                os.makedirs(folder, exist_ok=True)
                left, top = column * SIDE, row * SIDE
                tile = photograph.crop((left, top, left + SIDE, top + SIDE))
                tile.save(osp.join(folder, f'{row}_{column}.png'), icc_profile=None)
                counts[part] += 1
    return counts


def _middle(photograph: Image.Image) -> Image.Image:
    width, height = (min(LARGEST, side) for side in photograph.size)
    left, top = (photograph.width - width) // 2, (photograph.height - height) // 2
    return photograph.crop((left, top, left + width, top + height))


def _path(package: str, file: str) -> str:
    found = find_spec(package)
    if found is None or found.origin is None:
        install = dict(skimage='scikit-image', sklearn='scikit-learn')
        raise ModuleNotFoundError(
            f'The photographs need {package}, which is not installed. Install it '
            f'with: pip install {install.get(package, package)}'
        )
    return osp.join(osp.dirname(found.origin), osp.normpath(file))
