# Copyright (c) mmdckd contributors. All rights reserved.
"""What was predicted of many images: a CSV file, and what it comes to."""

import csv
from collections import Counter
from typing import List, NamedTuple, Optional, Sequence, Tuple

from mmdckd.io.files import replacing

#: A student is unsure of an image where the second class is at least so many times
#: as likely as the first. Distilled students spread their probability: the first
#: alone would call too many unsure.
UNSURE = 0.5
_SHOWN_CLASSES, _SHOWN_IMAGES = 20, 10


class Prediction(NamedTuple):
    """What was predicted of an image.

    Attributes:
        path (str): The file.
        top (List[Tuple[str, float]]): The likeliest classes and their
            probabilities, best first.
        label (str, optional): The class whose name a folder has that the image is
            in; None where there is none.
    """

    path: str
    top: List[Tuple[str, float]]
    label: Optional[str] = None


def write_csv(predictions: Sequence[Prediction], path: str) -> None:
    """Write predictions to a CSV file, an image a line.

    The columns are ``path``; ``label``, empty where it is not known; ``class`` and
    ``probability``; ``class_2``, ``probability_2`` and so on.

    Args:
        predictions (Sequence[Prediction]): The predictions, one or more.
        path (str): The file.
    """
    header = ['path', 'label']
    for rank in range(1, len(predictions[0].top) + 1):
        ending = '' if rank == 1 else f'_{rank}'
        header += [f'class{ending}', f'probability{ending}']
    # A name on the disk may be no UTF-8.
    with (
        replacing(path) as beside,
        open(
            beside, 'w', newline='', encoding='utf-8', errors='surrogateescape'
        ) as file,
    ):
        writer = csv.writer(file)
        writer.writerow(header)
        for image in predictions:
            row = [image.path, image.label or '']
            for name, probability in image.top:
                row += [name, f'{probability:.6f}']
            writer.writerow(row)


def summarize(predictions: Sequence[Prediction]) -> List[str]:
    """Sum predictions up.

    Args:
        predictions (Sequence[Prediction]): The predictions, one or more.

    Returns:
        List[str]: Lines: how many images are of which class, the accuracy where
        folders are called like classes, and the images that the student is least
        sure of.
    """
    return [*_by_class(predictions), *_accuracy(predictions), *_unsure(predictions)]


def _by_class(predictions: Sequence[Prediction]) -> List[str]:
    found = Counter(image.top[0][0] for image in predictions)
    width = max(map(len, ['class', *found]))
    lines = [f'{"class":{width}}  images   share']
    for name, count in found.most_common(_SHOWN_CLASSES):
        lines.append(f'{name:{width}}  {count:>6,}  {count / len(predictions):>6.1%}')
    rest = len(found) - _SHOWN_CLASSES
    return lines + ([f'and {rest} more classes'] if rest > 0 else [])


def _accuracy(predictions: Sequence[Prediction]) -> List[str]:
    labeled = [image for image in predictions if image.label is not None]
    if not labeled:
        return []
    wrong = Counter(
        (image.label, image.top[0][0])
        for image in labeled
        if image.label != image.top[0][0]
    )
    right = len(labeled) - sum(wrong.values())
    lines = [
        f'accuracy {right / len(labeled):.2%}: {right:,} of {len(labeled):,} images '
        'have the class of their folder'
    ]
    for (label, name), count in wrong.most_common(_SHOWN_IMAGES):
        lines.append(f'  {count:,} of {label} predicted as {name}')
    return lines


def _unsure(predictions: Sequence[Prediction]) -> List[str]:
    unsure = sorted(
        (image for image in predictions if _doubt(image) >= UNSURE),
        key=_doubt,
        reverse=True,
    )
    lines = [
        f'unsure of {len(unsure):,} images (second class at least {UNSURE:g} times as '
        'likely as the first)'
    ]
    for image in unsure[:_SHOWN_IMAGES]:
        classes = ', '.join(f'{name} {score:.1%}' for name, score in image.top[:2])
        lines.append(f'  {image.path}: {classes}')
    return lines


def _doubt(image: Prediction) -> float:
    """How likely the second class is, as a share of the first."""
    if len(image.top) < 2:
        return 0.0
    (_, first), (_, second) = image.top[:2]
    return second / first if first else 1.0
