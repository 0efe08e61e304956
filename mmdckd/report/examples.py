# Copyright (c) mmdckd contributors. All rights reserved.
"""Images that show what members get right, wrong, and together."""

from dataclasses import dataclass, field
from typing import Dict, List, NamedTuple, Optional

import numpy as np

from mmdckd.names import ENSEMBLE, TEACHER, of_role

#: How many images there are of a kind.
MOST_IMAGES = 6
RESOLVED = (
    'Resolved by the collective: half of the students or more are wrong, their '
    'ensemble is right'
)
DISAGREE = 'Students disagree'
#: So many students are named below an image.
_MOST_NAMED = 8


class Said(NamedTuple):
    """What members say of an image.

    Attributes:
        members (str): Their names.
        prediction (str): The class that they predict.
        confidence (float, optional): The probability that they give it; None
            of several members.
        right (bool): Whether it is the label.
    """

    members: str
    prediction: str
    confidence: Optional[float]
    right: bool


@dataclass
class Example:
    """An image.

    Attributes:
        index (int): Its place in the predictions.
        label (str): The class that it is labeled with.
        said (List[Said]): What members say.
    """

    index: int
    label: str
    said: List[Said]


@dataclass
class Kind:
    """Images of a kind.

    Attributes:
        title (str): What they have in common.
        count (int): How many such images there are.
        examples (List[Example]): The first of them, the most telling first.
    """

    title: str
    count: int
    examples: List[Example] = field(default_factory=list)


def find_examples(
    arrays: Dict[str, np.ndarray], student: str, most: int = MOST_IMAGES
) -> List[Kind]:
    """Choose images by what was predicted for them.

    Args:
        arrays (Dict[str, ndarray]): What
            :meth:`mmdckd.evaluation.CohortSums.arrays` and
            :meth:`mmdckd.evaluation.Predictions.arrays` return, with
            ``classes``.
        student (str): The member that is to be used.
        most (int): How many images there are of a kind, at most. Defaults to
            6.

    Returns:
        List[Kind]: What the student is sure of and gets right; what it is
        sure of and gets wrong; of a cohort, what its ensemble gets right and
        half of the students or more get wrong, those of most students first;
        and that of which students say most different things.
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
        # Distinct classes of each image; less sure ensembles first.
        ordered = np.sort(top[students], 0)
        different = 1 + (ordered[1:] != ordered[:-1]).sum(0)
        kinds[DISAGREE] = _first(different > 1, different - confidence[together])
    return [
        Kind(title, len(found), [_example(arrays, i, one) for i in found[:most]])
        for title, found in kinds.items()
    ]


def _first(chosen: np.ndarray, score: np.ndarray) -> np.ndarray:
    """The indices of chosen images, those of the highest scores first."""
    indices = np.flatnonzero(chosen)
    return indices[np.argsort(-score[indices], kind='stable')]


def _example(arrays: Dict[str, np.ndarray], index: int, one: int) -> Example:
    members = list(arrays['members'][: len(arrays['top'])])
    classes, label = arrays['classes'], arrays['labels'][index]

    def said(names: List[str], prediction: int, confidence: Optional[float]) -> Said:
        shown = ', '.join(names[:_MOST_NAMED])
        more = len(names) - _MOST_NAMED
        shown += f' and {more} more' if more > 0 else ''
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
