# Copyright (c) mmdckd contributors. All rights reserved.
"""Statistics of a cohort whose members predict at random."""

import numpy as np
import torch

from mmdckd.evaluation import CohortSums


def cohort_arrays(num_classes=5, students=2, teacher=True, count=200, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, num_classes, count)
    names = [f'student{i}' for i in range(students)]
    members = names + ['ensemble'] * (students > 1) + ['teacher'] * teacher
    scores = {
        name: torch.from_numpy(
            rng.standard_normal((count, num_classes)) + 2 * np.eye(num_classes)[labels]
        ).softmax(1)
        for name in members
    }
    labels = torch.from_numpy(labels)
    sums = CohortSums(names, ['teacher'] * teacher)
    sums.add(scores, labels)
    if students > 1:
        sums.add_target('target', torch.stack([scores[n] for n in names]), labels)
    classes = np.array([f'c{i}' for i in range(num_classes)])
    return dict(sums.arrays(), classes=classes)
