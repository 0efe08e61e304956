# Copyright (c) mmdckd contributors. All rights reserved.
import torch

from ..precision import at_least_float32


def stack_teachers(teachers: torch.Tensor, students: torch.Tensor) -> torch.Tensor:
    """Bring the predictions of teachers into one shape.

    Args:
        teachers (Tensor): Log-probabilities of a teacher (B, C), of M teachers
            (M, B, C), or of M teachers on each student's view (M, N, B, C).
        students (Tensor): Log-probabilities of the students (N, B, C).

    Returns:
        Tensor: (M, B, C) or (M, N, B, C), in float32 (float64 for float64).

    Raises:
        ValueError: If a teacher's shape is not the students'.
    """
    if teachers.ndim == 2:
        teachers = teachers.unsqueeze(0)
    if teachers.shape[1:] not in (students.shape[1:], students.shape):
        raise ValueError(
            "Invalid `teacher_log_probs`: expected each teacher's shape to be the "
            f"students', {tuple(students.shape[1:])}, got "
            f'{tuple(teachers.shape[1:])}.'
        )
    return at_least_float32(teachers)
