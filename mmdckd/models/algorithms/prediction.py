# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict, List, Optional

import torch
from mmengine.structures import BaseDataElement

from mmdckd.names import ENSEMBLE, teacher_names

from ..cohorts.student_cohort import StudentCohort
from ..networks import check_same_classes
from ..tasks import Classification
from .building import Teachers
from .exchange import Exchange


def predict_members(
    cohort: StudentCohort,
    teachers: Teachers,
    task: Classification,
    inputs: torch.Tensor,
    data_samples: List[BaseDataElement],
    exchange: Optional[Exchange] = None,
) -> Dict[str, List[BaseDataElement]]:
    """Predict with every member; each runs once.

    Args:
        cohort (StudentCohort): The students.
        teachers (List): The teachers.
        task (Classification): Combines the students' predictions.
        inputs (Tensor): Preprocessed images (B, 3, H, W).
        data_samples (List[DataSample]): B data samples; they are not changed.
        exchange (Exchange, optional): Predicts with the students if several
            processes hold them. Defaults to None.

    Returns:
        Dict[str, List[DataSample]]: The predictions of each student, of the
        ``ensemble`` (the mean of the students' probabilities, if there are
        two or more) and of each teacher.

    Raises:
        ValueError: If the students predict different numbers of classes.
    """
    if exchange is not None:
        members = exchange.predict(inputs, data_samples, task)
    else:
        members = {
            name: student(inputs, [s.new() for s in data_samples], mode='predict')
            for name, student in cohort.items()
        }
    if len(members) > 1:
        classes = {
            name: len(sample.pred_score)
            for name, own in members.items()
            for sample in own[:1]
        }
        check_same_classes('students', classes)
        first = cohort.students[cohort.names[0]]
        members[ENSEMBLE] = task.ensemble(
            list(members.values()), getattr(first, 'head', None)
        )
    for name, teacher in zip(teacher_names(len(teachers)), teachers):
        members[name] = teacher.predict(inputs, [s.new() for s in data_samples])
    return members
