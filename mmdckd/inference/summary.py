# Copyright (c) mmdckd contributors. All rights reserved.
"""Write the predictions for many images to a CSV file, and summarize them."""

import csv
from collections import Counter
from typing import List, NamedTuple, Optional, Sequence, Tuple

from mmdckd.io.files import replacing

#: A student is unsure of an image if the second class is at least this many times
#: as likely as the first. A threshold on the first class alone would count too
#: many, as distilled students spread their probability.
UNSURE = 0.5
_SHOWN_CLASSES, _SHOWN_IMAGES = 20, 10


class Prediction(NamedTuple):
    """The prediction for one image.

    Attributes:
        path (str): The file.
        top (List[Tuple[str, float]]): The likeliest classes and their
            probabilities, best first.
        label (str, optional): The class whose name is that of a folder containing
            the image; None if there is none.
    """

    path: str
    top: List[Tuple[str, float]]
    label: Optional[str] = None


def write_csv(predictions: Sequence[Prediction], path: str) -> None:
    """Write predictions to a CSV file, one line an image.

    The columns are ``path``; ``label``, empty if it is unknown; ``class`` and
    ``probability``; ``class_2``, ``probability_2`` and so on.

    Args:
        predictions (Sequence[Prediction]): The predictions, one or more.
        path (str): The file.
    """
    header = ['path', 'label']
    for rank in range(1, len(predictions[0].top) + 1):
        ending = '' if rank == 1 else f'_{rank}'
        header += [f'class{ending}', f'probability{ending}']
    # The name of a file may not be valid UTF-8.
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
    """Summarize predictions in a few lines.

    Args:
        predictions (Sequence[Prediction]): The predictions, one or more.

    Returns:
        List[str]: The number of images by class, the accuracy if folders are
        named after classes, and the images that the student is least sure of.
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
    """Return the probability of the second class divided by the first."""
    if len(image.top) < 2:
        return 0.0
    (_, first), (_, second) = image.top[:2]
    return second / first if first else 1.0
