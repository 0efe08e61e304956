# Copyright (c) mmdckd contributors. All rights reserved.
"""Find the classes that students confuse, and those that the ensemble resolves."""

from dataclasses import dataclass
from typing import Dict, List, Optional

import numpy as np

from mmdckd.names import ENSEMBLE, TEACHER, of_role


@dataclass
class Confusion:
    """How often images of one class are classified as another.

    Attributes:
        label (str): The class of the images.
        prediction (str): The class that is predicted.
        images (int): The number of images of the class.
        students (float): The number of them that a student classifies as the
            other class, the mean over students.
        fewest (int): The number for the student with the fewest.
        most (int): The number for the student with the most.
        ensemble (int, optional): The number for the ensemble.
        teacher (int, optional): The number for the (first) teacher.
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
        """float: The mean number for a student minus that for the ensemble."""
        return self.students - (self.ensemble or 0)


def find_confusions(arrays: Dict[str, np.ndarray]) -> List[Confusion]:
    """Find all pairs of classes that a student confuses.

    Args:
        arrays (Dict[str, ndarray]): The result of
            :meth:`mmdckd.evaluation.CohortSums.arrays`, with ``classes``.

    Returns:
        List[Confusion]: The pairs, those with the most images first.
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
