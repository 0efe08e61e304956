# Copyright (c) mmdckd contributors. All rights reserved.
from typing import List, Optional

import torch

from mmdckd.registry import MODELS

from .base_collector import BaseCollector


@MODELS.register_module()
class GeneralCollector(BaseCollector):
    r"""Averages the members with the weights that minimize the error of the
    average on a validation split.

    .. math::
        C_i = \sum_{j \in S_i} w_j P_j, \qquad
        w = \frac{E^{-1} 1}{1^\top E^{-1} 1}, \qquad
        E_{jk} = \frac{1}{V} \sum_{v=1}^{V}
                 (p_j(x_v) - y_v)^\top (p_k(x_v) - y_v)

    KDCL-General of `Online Knowledge Distillation via Collaborative Learning
    <https://openaccess.thecvf.com/content_CVPR_2020/html/Guo_Online_Knowledge_Distillation_via_Collaborative_Learning_CVPR_2020_paper.html>`_
    (Guo et al., CVPR 2020), where the set is all students
    (``include_self=True``). For a smaller set, E has that set's rows and
    columns. :class:`~mmdckd.engine.hooks.MeasureErrorsHook` measures E with
    unsoftened probabilities p; checkpoints contain it. E is that of the current
    students, so ``model.finished_peers`` and ``model.folds`` are refused.

    Weights may be negative. If a class gets a negative value, it is set to 0
    and the others are normalized. A millionth of the mean diagonal is added to
    the diagonal of E, so that members with equal errors get equal weights.

    Args:
        include_self (bool): Whether a student is in its own set. Defaults to
            False.
        include_teacher (bool): Whether every teacher is in every set.
            Defaults to False.

    Attributes:
        errors (Tensor): E (K, K) in float64, for the N students and, with
            ``include_teacher``, the M teachers; for a ``teacher_collector``,
            the M teachers. -1 until it is measured.
    """  # noqa: E501

    # The errors are defined for one label an image.
    tasks = ('classification',)
    by_member = True

    def __init__(
        self, include_self: bool = False, include_teacher: bool = False
    ) -> None:
        super().__init__(include_self, include_teacher)
        self.register_buffer('errors', torch.zeros(0, 0, dtype=torch.float64))
        self._measured = False

    def check_cohort(
        self, num_students: int, num_teachers: int, num_finished: int = 0
    ) -> None:
        """Check that the students are the peers, as the errors are theirs; see
        :meth:`BaseCollector.check_cohort`."""
        if num_finished:
            raise ValueError(
                'Invalid `collector`: expected one without measured errors, which are '
                'those of the students in training, as `finished_peers` are set, got '
                'GeneralCollector.'
            )
        super().check_cohort(num_students, num_teachers, num_finished)

    def check_members(self, num_members: int) -> None:
        if not len(self.errors):
            # The shape is final, so that an average of models can follow it.
            self.errors = self.errors.new_full((num_members, num_members), -1.0)
        if len(self.errors) != num_members:
            raise ValueError(
                'Invalid `collector`: expected errors of the '
                f'{num_members} members that GeneralCollector combines, got measured '
                f'errors of {len(self.errors)}.'
            )

    def weights(self, members: List[int]) -> torch.Tensor:
        """Compute the weights of a set.

        Args:
            members (List[int]): The set's K rows of E.

        Returns:
            Tensor: (K,) in float64; the weights sum to 1.

        Raises:
            RuntimeError: If the errors have not been measured.
        """
        # Look once, as the host waits for the device.
        self._measured = self._measured or bool((self.errors >= 0).any())
        if not self._measured:
            raise RuntimeError(
                'Invalid `custom_hooks`: expected a MeasureErrorsHook, which '
                'measures the errors that GeneralCollector weights members by, got '
                "none. Add `custom_hooks=[dict(type='mmdckd.MeasureErrorsHook')]`."
            )
        errors = self.errors.double()[members][:, members]
        ridge = 1e-6 * errors.diagonal().mean() + 1e-12
        one = torch.ones_like(errors[0])
        weights = torch.linalg.solve(errors + ridge * one.diag(), one)
        return weights / weights.sum()

    def collect(
        self,
        log_probs: torch.Tensor,
        gt_labels: Optional[torch.Tensor],
        tau: float,
        members: List[int],
    ) -> torch.Tensor:
        weights = self.weights(members).to(log_probs.dtype).view(-1, 1, 1)
        target = (weights * log_probs.exp()).sum(0).clamp_min(0)
        return target / target.sum(-1, keepdim=True)

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args) -> None:
        if f'{prefix}errors' in state_dict:
            loaded = state_dict[f'{prefix}errors']
            self.errors = self.errors.new_zeros(loaded.shape)
            self._measured = False
        super()._load_from_state_dict(state_dict, prefix, *args)
