# Copyright (c) mmdckd contributors. All rights reserved.
"""A folder of images: what is in it, checked before anything is trained."""

import os.path as osp
from dataclasses import dataclass, field
from statistics import median
from typing import Dict, List, Optional

from mmdckd.datasets.image_folder import validation_part
from mmdckd.io.images import ENDINGS, find_files, subfolders

from .folder_checks import (
    check_faults,
    content_warnings,
    copy_warnings,
    few_images,
    remark,
    shorten,
)
from .image_facts import ImageFacts, look_at

#: The names of the subfolders that are parts of the data, beside ``train``.
PARTS = dict(val=('val', 'valid', 'validation'), test=('test',))
#: Upper bound on the images that are decoded to find broken ones; of more,
#: evenly chosen ones are. The header and the end of all are read.
MOST_DECODED = 20_000

#: The images of a part, by class.
Part = Dict[str, List[ImageFacts]]


@dataclass(frozen=True)
class Folder:
    """Labeled images in folders.

    Attributes:
        path (str): The folder.
        train (str): The folder with a subfolder of each class to train on.
        val (str, optional): The same to validate with; None where a part of
            ``train`` has to be split off.
        test (str, optional): The same to test with, where there is one.
        classes (List[str]): The names of the classes, in order.
        counts (Dict[str, int]): How many images of each class ``train`` has.
        short_side (int): The median of the shorter sides of its images, in
            pixels.
        num_train (int): How many images there are to learn from: those of
            ``train`` without what is split off.
        warnings (List[str]): What a user should know about the images.
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

    def __len__(self) -> int:
        return sum(self.counts.values())

    @property
    def num_classes(self) -> int:
        """int: How many classes there are."""
        return len(self.classes)


def read_folder(path: str) -> Folder:
    """Look at a folder of labeled images.

    It has a subfolder for each class; or ``train``, ``val`` (or ``valid``,
    ``validation``) and ``test``, each with a subfolder for each class, of
    which ``train`` alone is needed. Every image is read.

    Args:
        path (str): The folder.

    Returns:
        Folder: What is in it.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If it has fewer than two classes, a class has too few
            images, the parts have other classes, or images cannot be read.
    """
    if not osp.isdir(path):
        raise FileNotFoundError(f'Invalid `data`: there is no folder {path!r}.')
    roots = _find_parts(path)
    train = roots['train']
    classes = _check_classes(roots)
    warnings = _left_out(path, roots)
    files: Dict[str, Dict[str, List[str]]] = {}
    for part, root in roots.items():
        files[part] = {}
        for name in classes:
            found, skipped = find_files(osp.join(root, name), ENDINGS)
            files[part][name] = found
            if skipped:
                warnings.append(remark('files', skipped, 'They are left out.'))
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
    )


def _find_parts(path: str) -> Dict[str, str]:
    """The folder of each part, by ``'train'``, ``'val'`` and ``'test'``."""
    inside = {name.lower(): osp.join(path, name) for name in subfolders(path)}
    if 'train' not in inside:
        if inside and set(inside) <= {
            name for names in PARTS.values() for name in names
        }:
            raise ValueError(
                f'Invalid `data`: expected a folder train beside {shorten(inside)} '
                f'in {path!r}, got none.'
            )
        return dict(train=path)
    found = dict(train=inside['train'])
    for part, names in PARTS.items():
        present = [name for name in names if name in inside]
        if len(present) > 1:
            raise ValueError(
                f'Invalid `data`: expected one folder to validate with in {path!r}, '
                f'got {shorten(present)}.'
            )
        if present:
            found[part] = inside[present[0]]
    return found


def _check_classes(roots: Dict[str, str]) -> List[str]:
    """The classes, which all parts have."""
    train = roots['train']
    classes = subfolders(train)
    if len(classes) < 2:
        deeper = classes and subfolders(osp.join(train, classes[0]))
        hint = f' Did you mean {osp.join(train, classes[0])!r}?' if deeper else ''
        raise ValueError(
            f'Invalid `data`: expected a subfolder of images for each of two or more '
            f'classes, got {len(classes)} in {train!r}.{hint}'
        )
    for root in roots.values():
        differ = sorted(set(subfolders(root)) ^ set(classes))
        if differ:
            raise ValueError(
                f'Invalid `data`: expected the classes of {train!r} in {root!r}, '
                f'got others: {shorten(differ)}.'
            )
    return classes


def _left_out(path: str, roots: Dict[str, str]) -> List[str]:
    """Warn of what is in the folder and is not used."""
    lines = []
    if roots['train'] != path:
        folders = [osp.join(path, name) for name in subfolders(path)]
        beside = [folder for folder in folders if folder not in roots.values()]
        if beside:
            lines.append(remark('folders beside train', beside, 'They are left out.'))
    for root in roots.values():
        images, files = (find_files(root, ends)[0] for ends in (ENDINGS, ['']))
        loose = [file for file in images if osp.dirname(file) == root]
        if loose:
            lines.append(
                remark('images in no class folder', loose, 'They are left out.')
            )
        others = sorted(set(files) - set(images))
        if others:
            lines.append(
                remark(
                    'files of other kinds',
                    others,
                    f'They are left out: images end in {", ".join(ENDINGS)}.',
                )
            )
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
    """How many images there are to learn from."""
    if not split:
        return len(_flat(train))
    count = 0
    for name, images in train.items():
        digests = {fact.path: fact.digest for fact in images}
        if len(set(digests.values())) < 2:
            raise ValueError(
                f'Invalid `data`: expected two or more different images of {name!r} '
                f'in {root!r}, one to validate with, got {len(images)} copies of one.'
            )
        count += len(images) - len(validation_part(digests))
    return count


def _flat(part: Part) -> List[ImageFacts]:
    return [fact for images in part.values() for fact in images]
