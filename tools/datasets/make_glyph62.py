# Copyright (c) mmdckd contributors. All rights reserved.
"""Make Glyph62: gray images of the 62 digits and letters of many fonts."""

import argparse
import hashlib
import json
import os
import os.path as osp
import re
from collections import Counter
from itertools import accumulate
from typing import Dict, List, NamedTuple, Tuple, Union

import fontTools
import numpy as np
import PIL
from mmengine.utils import scandir, track_parallel_progress
from PIL import features

from glyph_rendering import CHARACTERS, SUFFIXES, FontGlyphs, UnusableFont, render_font
from mmdckd.cli.errors import one_error_line
from mmdckd.io.files import replacing, write_text
from mmdckd.version import __version__

EXAMPLE = """example:
  # the reference set, on Debian 12: 1,129 fonts, 69,998 images, 11 MB
  apt-get install --no-install-recommends \\
      $(cat tools/datasets/glyph62_fonts.txt)
  python tools/datasets/make_glyph62.py --fonts /usr/share/fonts

A font is left out if it lacks one of the characters, or if all its images
are those of another. All fonts whose family starts with the same word (DejaVu
Sans, DejaVu Serif) are in the same split, which that word alone decides: 70 %
of such words train, 10 % validate, 20 % test.
"""
#: Split to its share of the families, in percent.
SPLITS = dict(train=70, val=10, test=20)


class Font(NamedTuple):
    """A font of the set.

    Attributes:
        path (str): Its file.
        sha256 (str): The hash of the file.
        glyphs (FontGlyphs): Its name and images.
    """

    path: str
    sha256: str
    glyphs: FontGlyphs


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--fonts',
        nargs='+',
        required=True,
        metavar='DIR',
        help='the folders to search for fonts, with all below them',
    )
    parser.add_argument(
        '--out',
        default='data/glyph62',
        help='the folder to write to (default: %(default)s)',
    )
    parser.add_argument(
        '--size',
        type=int,
        default=32,
        help='the side of an image in pixels (default: %(default)s)',
    )
    parser.add_argument(
        '--jobs',
        type=int,
        default=os.cpu_count(),
        help='how many processes draw (default: the number of cores)',
    )
    args = parser.parse_args()
    for name in ('size', 'jobs'):
        if getattr(args, name) < 1:
            parser.error(f'--{name} should be 1 or more')
    for folder in args.fonts:
        if not osp.isdir(folder):
            parser.error(f'--fonts names {folder!r}, which is not a folder')
    return args


def find_fonts(folders: List[str]) -> List[str]:
    """Find the font files in folders and below them."""
    return sorted(
        {
            osp.realpath(osp.join(folder, name))
            for folder in folders
            for name in scandir(folder, SUFFIXES, recursive=True, case_sensitive=False)
        }
    )


def read_font(task: Tuple[str, int]) -> Union[Font, Tuple[str, str]]:
    """Draw a font; return its path and the reason if it is unusable."""
    path, size = task
    try:
        glyphs = render_font(path, size)
    except UnusableFont as error:
        return path, str(error)
    with open(path, 'rb') as file:
        return Font(path, hashlib.sha256(file.read()).hexdigest(), glyphs)


def drop_doubles(fonts: List[Font]) -> Tuple[List[Font], List[Tuple[str, str]]]:
    """Keep one of all fonts that look the same, and sort them.

    Neither which one is kept nor the order depends on where the files lie.
    """
    kept: Dict[bytes, Font] = {}
    left_out = []
    for font in sorted(fonts, key=_rank):
        first = kept.setdefault(font.glyphs.images.tobytes(), font)
        if first is not font:
            left_out.append((font.path, f'looks like {osp.basename(first.path)}'))
    return list(kept.values()), left_out


def _rank(font: Font) -> tuple:
    # A Type 1 font comes after its OpenType form, which has more metadata.
    suffix = osp.splitext(font.path)[1].lower()
    return (suffix not in ('.otf', '.ttf'), *font.glyphs.name, font.sha256)


def kin_of(family: str) -> str:
    """Return the first word of a family's name, which related families share."""
    words = re.findall(r'\w+', family.lower())
    return words[0] if words else family


def split_of(family: str) -> str:
    """Return the split of a family, which depends only on its first word."""
    digest = hashlib.sha256(kin_of(family).encode()).digest()
    number = int.from_bytes(digest[:8], 'big') % 100
    limits = accumulate(SPLITS.values())
    return next(split for split, limit in zip(SPLITS, limits) if number < limit)


def write_split(path: str, fonts: List[Tuple[int, Font]]) -> dict:
    """Write the images of a split, and return its entry of the manifest."""
    arrays = dict(
        images=np.concatenate([font.glyphs.images for _, font in fonts]),
        labels=np.tile(np.arange(len(CHARACTERS), dtype=np.uint8), len(fonts)),
        fonts=np.repeat(
            np.array([index for index, _ in fonts], np.uint16), len(CHARACTERS)
        ),
    )
    with replacing(path) as beside:
        with open(beside, 'wb') as file:
            np.savez_compressed(file, **arrays)
    families = [font.glyphs.name.family for _, font in fonts]
    return dict(
        images=len(arrays['images']),
        fonts=len(fonts),
        families=len(set(families)),
        first_words=len(set(map(kin_of, families))),
        sha256=hashlib.sha256(
            b''.join(array.tobytes() for array in arrays.values())
        ).hexdigest(),
    )


def write_set(
    out: str, size: int, fonts: List[Font], left_out: List[Tuple[str, str]]
) -> dict:
    """Write the three splits and the manifest, and return the manifest."""
    os.makedirs(out, exist_ok=True)
    splits = [split_of(font.glyphs.name.family) for font in fonts]
    manifest = dict(
        dataset='Glyph62',
        characters=CHARACTERS,
        size=size,
        made_with=dict(
            mmdckd=__version__,
            pillow=PIL.__version__,
            freetype=features.version('freetype2'),
            fonttools=fontTools.version,
        ),
        splits={
            split: write_split(
                osp.join(out, f'{split}.npz'),
                [(i, font) for i, font in enumerate(fonts) if splits[i] == split],
            )
            for split in SPLITS
        },
        fonts=[
            dict(
                font.glyphs.name._asdict(),
                file=osp.basename(font.path),
                sha256=font.sha256,
                split=split,
            )
            for font, split in zip(fonts, splits)
        ],
        left_out=[
            dict(file=osp.basename(path), reason=reason)
            for path, reason in sorted(
                left_out, key=lambda item: (osp.basename(item[0]), item[1])
            )
        ],
    )
    path = osp.join(out, 'manifest.json')
    write_text(path, json.dumps(manifest, indent=1, ensure_ascii=False) + '\n')
    return manifest


@one_error_line()
def main() -> None:
    args = parse_args()
    paths = find_fonts(args.fonts)
    if not paths:
        raise SystemExit(f'error: no font ({", ".join(SUFFIXES)}) in {args.fonts}')
    read = track_parallel_progress(
        read_font, [(path, args.size) for path in paths], args.jobs, chunksize=8
    )
    print()
    fonts, doubles = drop_doubles([f for f in read if isinstance(f, Font)])
    left_out = [f for f in read if not isinstance(f, Font)] + doubles
    counts = Counter(split_of(font.glyphs.name.family) for font in fonts)
    empty = [split for split in SPLITS if not counts[split]]
    if empty:
        raise SystemExit(
            f'error: of {len(fonts)} usable fonts among {len(paths)} none is '
            f'in {" and ".join(empty)}: give fonts of more families'
        )
    manifest = write_set(args.out, args.size, fonts, left_out)
    for split, what in manifest['splits'].items():
        print(
            f'{split:5} {what["images"]:6} images, {what["fonts"]:4} fonts '
            f'of {what["families"]:3} families'
        )
    print(
        f'{len(left_out)} fonts left out; why is in '
        f'{osp.join(args.out, "manifest.json")}'
    )


if __name__ == '__main__':
    main()
