# Copyright (c) mmdckd contributors. All rights reserved.
"""Checks a folder of images: errors and warnings."""

import os.path as osp
from collections import Counter, defaultdict
from itertools import combinations
from typing import Dict, List, Mapping, Sequence, Tuple

from mmdckd.errors import shorten
from mmdckd.io.images import ENDINGS, find_files, subfolders

from .image_facts import ImageFacts


def few_images(
    files: Mapping[str, Mapping[str, Sequence[str]]],
    roots: Mapping[str, str],
    split: bool,
) -> List[str]:
    """Check how many images each class has.

    Args:
        files (Mapping): The images of each class of each part.
        roots (Mapping[str, str]): The folder of each part.
        split (bool): Whether validation images are split off ``train``.

    Returns:
        List[str]: A warning for each part with classes that have no image.

    Raises:
        ValueError: If there are too few images to train or to validate.
    """
    least = 2 if split else 1
    few = {name: found for name, found in files['train'].items() if len(found) < least}
    if few:
        wanted = 'two images, one for validation,' if split else 'one image'
        counts = shorten(f'{name!r} ({len(found)})' for name, found in few.items())
        raise ValueError(
            f'Invalid `data`: expected at least {wanted} of each class in '
            f'{roots["train"]!r}, got fewer for {counts}.'
            + other_files(roots['train'], few)
        )
    warnings = []
    for part, by_class in files.items():
        none = [name for name, found in by_class.items() if not found]
        if len(none) == len(by_class):
            raise ValueError(
                f'Invalid `data`: expected images in {roots[part]!r}, got none.'
                + other_files(roots[part], by_class)
            )
        if none:
            warnings.append(
                remark(
                    f'classes without images in {part}',
                    none,
                    'The accuracy on them is not measured.',
                )
            )
    return warnings


def other_files(root: str, images: Mapping[str, Sequence[str]]) -> str:
    """Return the end of a message about missing images.

    Args:
        root (str): The folder that should contain them.
        images (Mapping): The images of each of its subfolders.

    Returns:
        str: The files that are not images and the extensions of images, with a
        leading space; empty if there are no such files.
    """
    others = [
        file
        for name, found in images.items()
        for file in find_files(osp.join(root, name), [''])[0]
        if file not in found
    ]
    if not others:
        return ''
    return (
        f' Other files do not count, such as {shorten(others)}: images end in '
        f'{", ".join(ENDINGS)}.'
    )


def check_faults(facts: Sequence[ImageFacts], folder: str, key: str = 'data') -> None:
    """Raise if some images cannot be used for training.

    Args:
        facts (Sequence[ImageFacts]): All images.
        folder (str): The folder that contains them.
        key (str): The argument that names it. Defaults to ``'data'``.

    Raises:
        ValueError: If there are such images; the message lists them.
    """
    faults = [fact for fact in facts if fact.fault]
    if not faults:
        return
    kinds = Counter(fact.fault for fact in faults)
    raise ValueError(
        f'Invalid `{key}`: expected readable images in {folder!r}, got {len(faults)} '
        f'of {len(facts)} that cannot be read ({kinds.most_common(1)[0][0]}): '
        f'{shorten([f"{fact.path}: {fact.fault}" for fact in faults])}. '
        'Repair or remove them.'
    )


def copy_warnings(
    facts: Mapping[str, Mapping[str, Sequence[ImageFacts]]], folder: str
) -> List[str]:
    """Warn about images that are in several parts or in several classes.

    Args:
        facts (Mapping): The images of each class of each part.
        folder (str): The folder that the listed paths are relative to.

    Returns:
        List[str]: A warning for each pair of parts, and one for the classes.
    """
    places: Dict[bytes, List[Tuple[str, str, str]]] = defaultdict(list)
    for part, by_class in facts.items():
        for name, images in by_class.items():
            for fact in images:
                path = osp.relpath(fact.path, folder)
                places[fact.digest].append((part, name, path))
    shared: Dict[Tuple[str, str], List[str]] = defaultdict(list)
    contradictory = []
    for copies in places.values():
        first: Dict[str, str] = {}
        for part, _, path in copies:
            first.setdefault(part, path)
        for one, other in combinations(first, 2):
            shared[one, other].append(f'{first[one]} = {first[other]}')
        if len({name for _, name, _ in copies}) > 1:
            contradictory.append(' = '.join(path for *_, path in copies))
    lines = [
        remark(
            f'images in both {one} and {other}',
            pairs,
            'They make the accuracy look too good; remove them from one.',
        )
        for (one, other), pairs in shared.items()
    ]
    if contradictory:
        lines.append(
            remark(
                'images in several classes',
                contradictory,
                'Keep each only in the right one.',
            )
        )
    return lines


def content_warnings(facts: Sequence[ImageFacts]) -> List[str]:
    """Warn about images that training sees only in part.

    Args:
        facts (Sequence[ImageFacts]): All images.

    Returns:
        List[str]: One warning per kind.
    """
    lines = []
    deep = [fact.path for fact in facts if fact.is_deep]
    if deep:
        lines.append(
            remark(
                'images with 16 bits per channel',
                deep,
                'Only the upper 8 bits are read; rescale images that look too dark.',
            )
        )
    transparent = [fact.path for fact in facts if fact.is_transparent]
    if transparent:
        lines.append(
            remark(
                'images with transparency',
                transparent,
                'Transparency is dropped, which reveals hidden colors; flatten them.',
            )
        )
    return lines


def not_images(files: Sequence[str]) -> List[str]:
    """Warn about files that are not images.

    Args:
        files (Sequence[str]): The files.

    Returns:
        List[str]: One warning, or none if there are no such files.
    """
    advice = f'They are ignored: images end in {", ".join(ENDINGS)}.'
    return [remark('files that are not images', files, advice)] if files else []


def parts_for_classes(root: str, classes: Sequence[str]) -> List[str]:
    """Warn about classes that look like parts of the data, such as ``Training``
    and ``Testing``.

    Args:
        root (str): The folder of the classes.
        classes (Sequence[str]): Their names.

    Returns:
        List[str]: One warning if all classes have the same subfolders, at least
        two, or none.
    """
    inside, *others = {tuple(subfolders(osp.join(root, name))) for name in classes}
    if others or len(inside) < 2:
        return []
    advice = (
        f'If {shorten(inside)} are the classes, name the folders of the parts train, '
        'val and test.'
    )
    return [remark('classes with the same subfolders', classes, advice)]


def remark(what: str, items: Sequence[str], advice: str) -> str:
    """Format a warning: what, how many, which ones, and what to do."""
    return f'{what} ({len(items)}): {shorten(items)}. {advice}'
