# Copyright (c) mmdckd contributors. All rights reserved.
"""Measure the accuracy, size and latency of an exported student's files."""

import os
import time
from contextlib import contextmanager
from statistics import median
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

import torch

from mmdckd.inference.predictor import Predictor

from .labeled_images import Labeled, LabeledImages
from .onnx_file import random_images

_BATCH = 32
#: The number of timed runs of each file after two warm-up runs, and the time limit
#: in seconds, after which fewer runs are used.
_ROUNDS, _FEWEST, _WARM_UP, _SECONDS = 50, 5, 2, 20


class Measured(NamedTuple):
    """The measurements of a file.

    Attributes:
        path (str): The file.
        top1 (float, optional): The share of correctly classified images, in
            percent; None without labeled images.
        size (int): Its size in bytes.
        seconds (float): The median time for one image, in seconds.
    """

    path: str
    top1: Optional[float]
    size: int
    seconds: float


def measure(paths: Sequence[str], images: Optional[LabeledImages]) -> List[Measured]:
    """Measure files of one student on the CPU.

    For the accuracy, each batch is classified by all files before the next one is
    read. For the latency, the files classify an image in turn, with one thread, so
    that other load on the machine affects all of them.

    Args:
        paths (Sequence[str]): The files; their ``NAME.py`` is in the same folder.
        images (LabeledImages, optional): The images for the accuracy.

    Returns:
        List[Measured]: The measurements, in the order of the files.
    """
    top1 = dict.fromkeys(paths) if images is None else _accuracies(paths, images)
    seconds = _latencies(paths)
    return [
        Measured(path, top1[path], os.path.getsize(path), seconds[path])
        for path in paths
    ]


def _accuracies(
    paths: Sequence[str], images: LabeledImages
) -> Dict[str, Optional[float]]:
    predictors = {path: Predictor(path, device='cpu') for path in paths}
    right, total = dict.fromkeys(paths, 0), 0
    for batch in _batches(images.read(predictors[paths[0]].pipeline)):
        inputs, labels = zip(*batch)
        total += len(batch)
        for path, predictor in predictors.items():
            found = predictor(list(inputs)).argmax(1)
            right[path] += int((found == torch.tensor(labels)).sum())
    return {path: 100 * count / total for path, count in right.items()}


def _batches(images: Iterator[Labeled]) -> Iterator[List[Labeled]]:
    batch: List[Labeled] = []
    for image in images:
        batch.append(image)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _latencies(paths: Sequence[str]) -> Dict[str, float]:
    times: Dict[str, List[float]] = {path: [] for path in paths}
    with _one_thread():
        predictors = {path: Predictor(path, device='cpu') for path in paths}
        image = dict(inputs=random_images(predictors[paths[0]].cfg, 1)[0])
        begin = time.monotonic()
        for number in range(_WARM_UP + _ROUNDS):
            for path, predictor in predictors.items():
                start = time.perf_counter()
                predictor([image])
                times[path].append(time.perf_counter() - start)
            enough = number + 1 >= _WARM_UP + _FEWEST
            if enough and time.monotonic() - begin > _SECONDS:
                break
    return {path: median(each[_WARM_UP:]) for path, each in times.items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
