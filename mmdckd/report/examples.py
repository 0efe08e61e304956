# Copyright (c) mmdckd contributors. All rights reserved.
"""Choose images that show where members are right, wrong, or disagree."""

from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Optional

import numpy as np

from mmdckd.errors import shorten
from mmdckd.names import ENSEMBLE, TEACHER, of_role

#: The number of images of each kind.
MOST_IMAGES = 6
RESOLVED = (
    'Resolved by the collective: at least half of the students are wrong, their '
    'ensemble is right'
)
DISAGREE = 'Students disagree'
#: The largest number of students named below an image.
_MOST_NAMED = 8


class Said(NamedTuple):
    """The prediction of one or more members for an image.

    Attributes:
        members (str): Their names.
        prediction (str): The predicted class.
        confidence (float, optional): Its probability; None for several members.
        right (bool): Whether it is the label.
    """

    members: str
    prediction: str
    confidence: Optional[float]
    right: bool


@dataclass
class Example:
    """An image and its predictions.

    Attributes:
        index (int): Its index in the predictions.
        label (str): The name of its label.
        said (List[Said]): The predictions of members.
    """

    index: int
    label: str
    said: List[Said]


@dataclass
class Kind:
    """Images of a kind.

    Attributes:
        title (str): The title of the kind.
        count (int): The number of such images.
        examples (List[Example]): Some of them, the clearest first.
    """

    title: str
    count: int
    examples: List[Example] = field(default_factory=list)


def find_examples(
    arrays: Dict[str, np.ndarray], student: str, most: int = MOST_IMAGES
) -> List[Kind]:
    """Choose images by their predictions.

    Args:
        arrays (Dict[str, ndarray]): The results of
            :meth:`mmdckd.evaluation.CohortSums.arrays` and
            :meth:`mmdckd.evaluation.Predictions.arrays`, with ``classes``.
        student (str): The student to use.
        most (int): The largest number of images of a kind. Defaults to 6.

    Returns:
        List[Kind]: The images that the student classifies correctly with the
        highest confidence; those that it misclassifies with the highest
        confidence; for a cohort, those that the ensemble classifies correctly
        and at least half of the students do not, most students first; and those
        with the most different predictions.
    """
    members = list(arrays['members'][: len(arrays['top'])])
    labels, top = arrays['labels'], arrays['top']
    right = top == labels
    confidence = arrays['confidence']
    one = members.index(student)
    students = [members.index(name) for name in arrays['students']]
    kinds: Dict[str, np.ndarray] = {
        f'Sure and right: {student}': _first(right[one], confidence[one]),
        f'Sure and wrong: {student}': _first(~right[one], confidence[one]),
    }
    if len(students) > 1 and ENSEMBLE in members:
        together = members.index(ENSEMBLE)
        wrong = (~right[students]).sum(0)
        resolved = right[together] & (2 * wrong >= len(students))
        kinds[RESOLVED] = _first(resolved, wrong + confidence[together])
        # Number of distinct predictions; less confident ensembles first.
        ordered = np.sort(top[students], 0)
        different = 1 + (ordered[1:] != ordered[:-1]).sum(0)
        kinds[DISAGREE] = _first(different > 1, different - confidence[together])
    return [
        Kind(title, len(found), [_example(arrays, i, one) for i in found[:most]])
        for title, found in kinds.items()
    ]


def _first(chosen: np.ndarray, score: np.ndarray) -> np.ndarray:
    """Return the indices of chosen images, highest scores first."""
    indices = np.flatnonzero(chosen)
    return indices[np.argsort(-score[indices], kind='stable')]


def _example(arrays: Dict[str, np.ndarray], index: int, one: int) -> Example:
    members = list(arrays['members'][: len(arrays['top'])])
    classes, label = arrays['classes'], arrays['labels'][index]

    def said(names: List[str], prediction: int, confidence: Optional[float]) -> Said:
        shown = shorten(names, _MOST_NAMED)
        return Said(shown, str(classes[prediction]), confidence, prediction == label)

    found = []
    for name in [members[one], *of_role(members, ENSEMBLE, TEACHER)]:
        place = members.index(name)
        top, sure = (arrays[key][place, index] for key in ('top', 'confidence'))
        found.append(said([name], top, float(sure)))
    others: Dict[int, List[str]] = {}
    for name in arrays['students']:
        if name != members[one]:
            top = int(arrays['top'][members.index(name), index])
            others.setdefault(top, []).append(str(name))
    found += [said(names, top, None) for top, names in others.items()]
    return Example(int(index), str(classes[label]), found)
