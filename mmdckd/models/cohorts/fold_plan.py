# Copyright (c) mmdckd contributors. All rights reserved.
"""Which student is blind to which fold of the training images."""

from difflib import get_close_matches
from typing import Any, Dict, List, Optional, Sequence, Union

from ..options import invalid

KEY = 'model.folds'


class FoldPlan:
    """Tells which fold of the training images each student does not see.

    The students without the graduates take the folds in turn: with K folds,
    the j-th of them is blind to fold j modulo K. It has no loss on these
    images, and no layer sees them in training mode.

    Args:
        names (Sequence[str]): The names of the students.
        num_folds (int, optional): The number K of folds, 2 or more, and at
            most one for each student that is no graduate. Defaults to None,
            one for each.
        graduate (str | Sequence[str], optional): The students that see all
            images, and are the ones to deploy. Defaults to None: there are
            none, and the best of all is deployed.
        seed (int): Which of the possible divisions of the images it is; see
            :func:`~mmdckd.datasets.folds.fold_table`. Defaults to 0.

    Attributes:
        fold_of (Dict[str, int]): Student to the fold it is blind to; graduates
            are not in it.
        deployed (List[str]): The students of which the best is deployed.

    Raises:
        ValueError: If a graduate is no student, or a fold would have no
            student that is blind to it.
    """

    def __init__(
        self,
        names: Sequence[str],
        num_folds: Optional[int] = None,
        graduate: Union[str, Sequence[str], None] = None,
        seed: int = 0,
    ) -> None:
        graduates = [graduate] if isinstance(graduate, str) else list(graduate or ())
        for name in graduates:
            if name not in names:
                near = get_close_matches(str(name), names, 1)
                expected = f'students, of {list(names)}'
                hint = f' Did you mean {near[0]!r}?' if near else ''
                raise ValueError(f'{invalid(f"{KEY}.graduate", expected, name)}{hint}')
        blind = [name for name in names if name not in graduates]
        if num_folds is None:
            num_folds = len(blind)
        if not _is_whole(num_folds) or not 2 <= num_folds <= len(blind):
            expected = (
                f'a whole number from 2 to {len(blind)}, the number of students that '
                'are no graduate, so that one is blind to every fold'
            )
            raise invalid(f'{KEY}.num_folds', expected, num_folds)
        if not _is_whole(seed):
            raise invalid(f'{KEY}.seed', 'a whole number', seed)
        self.names = list(names)
        self.num_folds = num_folds
        self.seed = seed
        self.fold_of: Dict[str, int] = {
            name: i % num_folds for i, name in enumerate(blind)
        }
        self.deployed = graduates or self.names

    @property
    def fold_of_each(self) -> List[Optional[int]]:
        """List[int]: The folds of all students, None of a graduate."""
        return [self.fold_of.get(name) for name in self.names]

    def blind_to(self, fold: int) -> List[int]:
        """Which students are blind to a fold, counted from 0."""
        return [
            i for i, name in enumerate(self.names) if self.fold_of.get(name) == fold
        ]

    def seeing(self, fold: int) -> List[int]:
        """Which students see a fold, counted from 0."""
        return [
            i for i, name in enumerate(self.names) if self.fold_of.get(name) != fold
        ]


def build_fold_plan(cfg: Any, names: Sequence[str]) -> Optional[FoldPlan]:
    """Build the plan of a cohort, if there is one.

    Args:
        cfg (dict, optional): Arguments of :class:`FoldPlan`.
        names (Sequence[str]): The names of the students.

    Raises:
        ValueError: If it is no dict, or has other keys.
    """
    if cfg is None:
        return None
    known = ('num_folds', 'graduate', 'seed')
    if not isinstance(cfg, dict) or not set(cfg) <= set(known):
        raise invalid(KEY, f'a dict with some of {known}', cfg)
    return FoldPlan(names, **cfg)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
