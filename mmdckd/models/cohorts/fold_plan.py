# Copyright (c) mmdckd contributors. All rights reserved.
"""Which student is blind to which fold of the training images."""

from typing import Any, Dict, List, Optional, Sequence, Union

from mmdckd.errors import did_you_mean, invalid
from mmdckd.values import is_whole

KEY = 'model.folds'


class FoldPlan:
    """Tells which fold of the training images each student never sees.

    The students that are not graduates take the folds in turn: with K folds,
    the j-th of them is blind to fold j modulo K. It has no loss on the images
    of that fold, and no layer sees them in training mode.

    Args:
        names (Sequence[str]): The names of the students.
        num_folds (int, optional): The number K of folds, from 2 to the number
            of students that are not graduates. Defaults to None, one fold for
            each of these students.
        graduate (str | Sequence[str], optional): The students that see all
            images and are deployed. Defaults to None: there are no graduates,
            and the best student is deployed.
        seed (int): The seed of the division into folds; see
            :func:`~mmdckd.datasets.folds.fold_table`. Defaults to 0.

    Attributes:
        fold_of (Dict[str, int]): Student to the fold it is blind to, without
            graduates.
        deployed (List[str]): The students among which the best is deployed.

    Raises:
        ValueError: If a graduate is not a student, or there are more folds than
            students to be blind to them.
    """

    def __init__(
        self,
        names: Sequence[str],
        num_folds: Optional[int] = None,
        graduate: Union[str, Sequence[str], None] = None,
        seed: int = 0,
    ) -> None:
        expected = f'one or more of {list(names)}'
        if not isinstance(graduate, (str, list, tuple, type(None))):
            raise invalid(f'{KEY}.graduate', expected, graduate)
        graduates = [graduate] if isinstance(graduate, str) else list(graduate or ())
        for name in graduates:
            if name not in names:
                hint = did_you_mean(name, names)
                raise invalid(f'{KEY}.graduate', expected, name, hint)
        blind = [name for name in names if name not in graduates]
        if num_folds is None:
            num_folds = len(blind)
        if not is_whole(num_folds) or not 2 <= num_folds <= len(blind):
            expected = (
                f'an integer from 2 to {len(blind)}, the number of students that are '
                'not graduates, so that every fold has a student that is blind to it'
            )
            raise invalid(f'{KEY}.num_folds', expected, num_folds)
        if not is_whole(seed):
            raise invalid(f'{KEY}.seed', 'an integer', seed)
        self.names = list(names)
        self.num_folds = num_folds
        self.seed = seed
        self.fold_of: Dict[str, int] = {
            name: i % num_folds for i, name in enumerate(blind)
        }
        self.deployed = list(dict.fromkeys(graduates)) or self.names

    @property
    def fold_of_each(self) -> List[Optional[int]]:
        """List[int]: The fold each student is blind to; None for a graduate."""
        return [self.fold_of.get(name) for name in self.names]

    def blind_to(self, fold: Optional[int]) -> List[int]:
        """Return the indices of the students that are blind to a fold; for None,
        of those that are blind to none."""
        return [i for i, own in enumerate(self.fold_of_each) if own == fold]

    def seeing(self, fold: int) -> List[int]:
        """Return the indices of the students that see a fold."""
        return [i for i, own in enumerate(self.fold_of_each) if own != fold]


def build_fold_plan(cfg: Any, names: Sequence[str]) -> Optional[FoldPlan]:
    """Build the plan of folds of a cohort, if the config asks for folds.

    Args:
        cfg (dict, optional): Arguments of :class:`FoldPlan`.
        names (Sequence[str]): The names of the students.

    Raises:
        ValueError: If ``cfg`` is not a dict, or has unknown keys.
    """
    if cfg is None:
        return None
    known = ('num_folds', 'graduate', 'seed')
    if not isinstance(cfg, dict) or not set(cfg) <= set(known):
        raise invalid(KEY, f'a dict with keys of {known}', cfg)
    return FoldPlan(names, **cfg)
