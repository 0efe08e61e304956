# Copyright (c) mmdckd contributors. All rights reserved.
"""Which classes a cohort confuses, and which of these the collective does
not."""

from dataclasses import dataclass
from typing import Dict, List, Optional

import numpy as np

from mmdckd.names import ENSEMBLE, TEACHER, of_role


@dataclass
class Confusion:
    """How often images of a class are taken for another.

    Attributes:
        label (str): The class of the images.
        prediction (str): The class they are taken for.
        images (int): How many images there are of the class.
        students (float): How many of them a student takes for the other, the
            mean over students.
        fewest (int): The same of the student with the fewest.
        most (int): The same of the student with the most.
        ensemble (int, optional): The same of the ensemble.
        teacher (int, optional): The same of the (first) teacher.
    """

    label: str
    prediction: str
    images: int
    students: float
    fewest: int
    most: int
    ensemble: Optional[int] = None
    teacher: Optional[int] = None

    @property
    def resolved(self) -> float:
        """float: How many fewer the ensemble has than a student."""
        return self.students - (self.ensemble or 0)


def find_confusions(arrays: Dict[str, np.ndarray]) -> List[Confusion]:
    """Find all pairs of classes that a student confuses.

    Args:
        arrays (Dict[str, ndarray]): What
            :meth:`mmdckd.evaluation.CohortSums.arrays` returns, with
            ``classes``.

    Returns:
        List[Confusion]: Those with the most images first.
    """
    confusion = arrays['confusion']
    names = list(arrays['members'][: len(confusion)])
    own = confusion[[names.index(name) for name in arrays['students']]]
    teachers = of_role(names, TEACHER)
    images = own[0].sum(1)

    def count(name: Optional[str], label: int, other: int) -> Optional[int]:
        if name not in names:
            return None
        return int(confusion[names.index(name), label, other])

    found = [
        Confusion(
            str(arrays['classes'][label]),
            str(arrays['classes'][other]),
            int(images[label]),
            float(own[:, label, other].mean()),
            int(own[:, label, other].min()),
            int(own[:, label, other].max()),
            ensemble=count(ENSEMBLE, label, other),
            teacher=count(next(iter(teachers), None), label, other),
        )
        for label, other in np.argwhere(own.sum(0))
        if label != other
    ]
    return sorted(found, key=lambda each: -each.students)
