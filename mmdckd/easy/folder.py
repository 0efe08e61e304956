# Copyright (c) mmdckd contributors. All rights reserved.
"""Reads a folder of labeled images and checks it before anything is trained."""

import os.path as osp
import unicodedata
from dataclasses import dataclass, field
from statistics import median
from typing import Dict, List, Optional

from mmdckd.datasets.image_folder import validation_part
from mmdckd.errors import shorten
from mmdckd.io.images import ENDINGS, find_files, subfolders

from .folder_checks import (
    check_faults,
    content_warnings,
    copy_warnings,
    few_images,
    not_images,
    parts_for_classes,
    remark,
)
from .image_facts import ImageFacts, digest_of, look_at

#: Names of the subfolders for the other parts of the data, beside ``train``.
PARTS = dict(val=('val', 'valid', 'validation'), test=('test',))
#: Upper bound on the images that are decoded to find broken ones; of more, an
#: evenly spaced subset is. The header and the end of all are read.
MOST_DECODED = 20_000

#: The images of one part, by class.
Part = Dict[str, List[ImageFacts]]


@dataclass(frozen=True)
class Folder:
    """A folder of labeled images.

    Attributes:
        path (str): The folder.
        train (str): The training folder, with a subfolder per class.
        val (str, optional): The same for validation; None if a part of
            ``train`` must be split off.
        test (str, optional): The same for testing, if there is one.
        classes (List[str]): The names of the classes, in order.
        counts (Dict[str, int]): The number of images per class in ``train``.
        short_side (int): The median of the images' shorter sides, in pixels.
        num_train (int): The number of training images: those of ``train``
            without the ones that are split off.
        warnings (List[str]): What a user should know about the images.
        digest (str): A digest of the images to train and to validate with.
    """

    path: str
    train: str
    val: Optional[str]
    test: Optional[str]
    classes: List[str]
    counts: Dict[str, int]
    short_side: int
    num_train: int
    warnings: List[str] = field(default_factory=list)
    digest: str = ''

    def __len__(self) -> int:
        return sum(self.counts.values())

    @property
    def num_classes(self) -> int:
        """int: The number of classes."""
        return len(self.classes)


def read_folder(path: str) -> Folder:
    """Read a folder of labeled images and check it.

    It has one subfolder per class; or ``train``, ``val`` (or ``valid``,
    ``validation``) and ``test``, each with one subfolder per class, of which
    only ``train`` is required. Every image is read.

    Args:
        path (str): The folder.

    Returns:
        Folder: What is in it.

    Raises:
        FileNotFoundError: If the folder does not exist.
        ValueError: If it has fewer than two classes, a class has too few
            images, the parts have different classes, or images cannot be read.
    """
    if not osp.isdir(path):
        raise FileNotFoundError(
            f'Invalid `data`: expected an existing folder, got {path!r}.'
        )
    roots = _find_parts(path)
    train = roots['train']
    classes = _check_classes(roots)
    warnings = _left_out(path, roots) + parts_for_classes(train, classes)
    files: Dict[str, Dict[str, List[str]]] = {}
    for part, root in roots.items():
        files[part] = {}
        for name in classes:
            found, skipped = find_files(osp.join(root, name), ENDINGS)
            files[part][name] = found
            if skipped:
                warnings.append(remark('files', skipped, 'They are ignored.'))
    split = 'val' not in roots
    warnings += few_images(files, roots, split)
    facts = _look_at_all(files)
    everything = [fact for part in facts.values() for fact in _flat(part)]
    check_faults(everything, path)
    num_train = _num_train(facts['train'], split, train)
    warnings += copy_warnings(facts, path) + content_warnings(everything)
    return Folder(
        path,
        train,
        roots.get('val'),
        roots.get('test'),
        classes,
        {name: len(found) for name, found in files['train'].items()},
        round(median(fact.short_side for fact in _flat(facts['train']))),
        num_train,
        warnings,
        _digest(facts),
    )


def _find_parts(path: str) -> Dict[str, str]:
    """Return the folder of each part: ``'train'``, ``'val'`` and ``'test'``."""
    inside = {name.lower(): osp.join(path, name) for name in subfolders(path)}
    if 'train' not in inside:
        if inside and set(inside) <= {
            name for names in PARTS.values() for name in names
        }:
            raise ValueError(
                f'Invalid `data`: expected a subfolder train beside {shorten(inside)} '
                f'in {path!r}, got none.'
            )
        return dict(train=path)
    found = dict(train=inside['train'])
    for part, names in PARTS.items():
        present = [name for name in names if name in inside]
        if len(present) > 1:
            raise ValueError(
                f'Invalid `data`: expected one validation folder in {path!r}, '
                f'got {shorten(present)}.'
            )
        if present:
            found[part] = inside[present[0]]
    return found


def _check_classes(roots: Dict[str, str]) -> List[str]:
    """Return the classes; raise unless all parts have the same."""
    train = roots['train']
    classes = subfolders(train)
    if len(classes) < 2:
        deeper = classes and subfolders(osp.join(train, classes[0]))
        hint = f' Did you mean {osp.join(train, classes[0])!r}?' if deeper else ''
        if not classes and len(roots) == 1:
            hint = _train_as_class(train)
        raise ValueError(
            f'Invalid `data`: expected one subfolder of images per class, at least two '
            f'classes, got {len(classes)} in {train!r}.{hint}'
        )
    unnamed = [name for name in classes if not _is_text(name)]
    if unnamed:
        raise ValueError(
            f'Invalid `data`: expected class folders with names in UTF-8, got '
            f'{shorten(map(ascii, unnamed))} in {train!r}. Rename them.'
        )
    for root in roots.values():
        differ = sorted(set(subfolders(root)) ^ set(classes))
        if differ:
            forms = {unicodedata.normalize('NFC', name) for name in differ}
            hint = ''
            if len(forms) < len(differ):
                differ = [ascii(name) for name in differ]
                hint = ' Some differ only in how an accent is encoded. Rename them.'
            raise ValueError(
                f'Invalid `data`: expected the same classes in {train!r} and {root!r}, '
                f'got different ones: {shorten(differ)}.{hint}'
            )
    return classes


def _train_as_class(train: str) -> str:
    """Return the end of a message about a folder train without subfolders, which
    may be a class."""
    folder, name = osp.split(train)
    if len(subfolders(folder)) < 2:
        return ''
    return (
        f' A folder {name} holds the training images. If it is a class, give it '
        'another name.'
    )


def _is_text(name: str) -> bool:
    """Tell whether the name of a file can be written to a file."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _left_out(path: str, roots: Dict[str, str]) -> List[str]:
    """Warn about files and folders that are ignored."""
    lines = []
    if roots['train'] != path:
        folders = [osp.join(path, name) for name in subfolders(path)]
        beside = [folder for folder in folders if folder not in roots.values()]
        if beside:
            lines.append(remark('folders beside train', beside, 'They are ignored.'))
    for root in roots.values():
        images, files = (find_files(root, ends)[0] for ends in (ENDINGS, ['']))
        # Of a root that ends in a slash too.
        own = osp.dirname(osp.join(root, ''))
        loose = [file for file in images if osp.dirname(file) == own]
        if loose:
            lines.append(
                remark('images outside a class folder', loose, 'They are ignored.')
            )
        lines += not_images(sorted(set(files) - set(images)))
    return lines


def _look_at_all(files: Dict[str, Dict[str, List[str]]]) -> Dict[str, Part]:
    count = sum(len(found) for part in files.values() for found in part.values())
    step = -(-count // MOST_DECODED)
    facts: Dict[str, Part] = {}
    index = 0
    for part, by_class in files.items():
        facts[part] = {}
        for name, found in by_class.items():
            facts[part][name] = [
                look_at(file, decode=(index + i) % step == 0)
                for i, file in enumerate(found)
            ]
            index += len(found)
    return facts


def _num_train(train: Part, split: bool, root: str) -> int:
    """Return the number of training images."""
    if not split:
        return len(_flat(train))
    count = 0
    for name, images in train.items():
        digests = {fact.path: fact.digest for fact in images}
        if len(set(digests.values())) < 2:
            raise ValueError(
                f'Invalid `data`: expected at least two different images of {name!r} '
                f'in {root!r}, one for validation, got {len(images)} copies of one.'
            )
        count += len(images) - len(validation_part(digests))
    return count


def _digest(facts: Dict[str, Part]) -> str:
    return digest_of(
        (f'{part} {name}', fact)
        for part, by_class in facts.items()
        for name, images in by_class.items()
        for fact in images
        if part != 'test'  # a later test part changes neither training nor choice
    )


def _flat(part: Part) -> List[ImageFacts]:
    return [fact for images in part.values() for fact in images]
