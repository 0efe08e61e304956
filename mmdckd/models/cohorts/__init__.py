from .student_cohort import StudentCohort

__all__ = ['StudentCohort']
