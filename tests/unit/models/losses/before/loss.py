# Copyright (c) mmdckd contributors. All rights reserved.
import math
from numbers import Real
from typing import Dict, List, Optional, Tuple, Union

import torch


from mmdckd.models.collectors import BaseCollector, build_collector
from mmdckd.models.collectors.labels import check_labels, soft_labels
from mmdckd.models.tasks import Classification, build_task
from mmdckd.models.losses.base_collective_loss import BaseCollectiveLoss, Logits
from .terms import CohortTerms, Terms, soften
from mmdckd.models.losses.standardize import standardize
from mmdckd.models.options import check_temperature
from mmdckd.models.losses.weight_ramp import WeightRamp


class Before(BaseCollectiveLoss):
    r"""Deep collective knowledge distillation.

    .. math::
        L_i = \alpha \tau^2 KL(P_t \| P_i) + \beta \tau^2 KL(C_i \| P_i)
              - \gamma H_{corr}(P_i)

    with :math:`P_i = softmax(z_i / \tau)`, the teacher's
    :math:`P_t = softmax(z_t / \tau)` (of M teachers, what
    ``teacher_collector`` makes of theirs), the peers' knowledge :math:`C_i`,
    that ``collector`` makes of theirs (see :class:`BaseCollector`), and the
    entropy :math:`H_{corr}` of :math:`P_i` (``correlation='all'``) or of its
    other classes alone, :math:`Q_i \propto P_i (1 - y)` (``'non_target'``).
    KL and H are means over the batch, in nats. A term of weight 0 is not
    computed.

    Where the heads are multi-label, :math:`P_i` are C independent Bernoullis,
    :math:`p_{ic} = sigmoid(z_{ic} / \tau)`, and KL and H are sums over
    classes, see :class:`~mmdckd.models.tasks.MultiLabel`.

    The idea, that a student learns from its teacher and from what is
    collected of other students, and keeps the correlation between classes, is
    that of `Deep Collective Knowledge Distillation
    <https://arxiv.org/abs/2304.08878>`_. **This formulation is the project's
    own**: the paper's equations were not available.

    It contains others. With ``beta=gamma=0`` it is `Distilling the Knowledge
    in a Neural Network <https://arxiv.org/abs/1503.02531>`_ (Hinton et al.,
    2015); with ``alpha=gamma=0``, ``tau=1`` and ``collector='mean'`` its
    gradient is that of `Deep Mutual Learning
    <https://arxiv.org/abs/1706.00384>`_ (Zhang et al., CVPR 2018).

    ``docs/method.md`` cites what was measured for each default.

    Teacher and targets are detached: :math:`\partial L_i / \partial z_j = 0`.
    Everything is computed in float32 (float64 for float64), under autocast
    too, with one log-softmax a member.

    Args:
        alpha (float): Weight of the teacher's knowledge. Defaults to 1.0.
        beta (float): Weight of the collective's knowledge. Defaults to 1.0.
        gamma (float): Weight of the correlation gain. Defaults to 0.1.
        tau (float): Temperature. Defaults to 4.0.
        collector (str, dict or BaseCollector): How the peers' knowledge is
            collected: 'mean', 'max', 'logit_mean', 'min_logit', 'naive',
            'linear', 'confidence', 'cross_entropy', or the config of a
            collector. Defaults to 'logit_mean'.
        teacher_collector (str, dict or BaseCollector): How the knowledge of
            several teachers is: as ``collector``. Defaults to 'mean'.
        correlation (str): The classes whose entropy is gained, 'all' or
            'non_target'; the latter needs labels. Defaults to 'all'.
        ramp (dict, optional): Arguments of :class:`WeightRamp`, and
            ``terms``, the terms it applies to. Defaults to None, constant
            weights; ``terms`` defaults to
            ``('collective', 'correlation')``: peers know nothing at first, a
            teacher does.
        standardize (bool): Whether all logits are standardised before they
            are divided by ``tau``; see
            :func:`~mmdckd.models.losses.standardize.standardize`. With
            ``beta=gamma=0`` this is KD with logit standardisation (LSKD, Sun
            et al., CVPR 2024). Defaults to False.
        task (str, optional): 'classification', one label an image, or
            'multi_label'. Defaults to None, that of the students' heads, or
            'classification' outside a cohort.

    Raises:
        ValueError: If a weight is negative, ``tau`` is not positive,
            ``correlation`` or a term of ``ramp`` is another, there is no
            such collector, ``teacher_collector`` has ``include_self`` or
            ``include_teacher`` (its set is all teachers), or a part has no
            meaning for ``task``.

    Examples:
        >>> loss = DCKDLoss(
        ...     collector=dict(type='max', include_teacher=True),
        ...     ramp=dict(end=5))
        >>> loss = DCKDLoss(alpha=0., gamma=0., tau=1., collector='mean')
        >>> loss(torch.randn(3, 8, 10))
        {'collective': tensor([...])}
    """

    TERMS = ('teacher', 'collective', 'correlation')
    CORRELATIONS = ('all', 'non_target')
    tasks = ('classification', 'multi_label')

    def __init__(
        self,
        alpha: float = 1.0,
        beta: float = 1.0,
        gamma: float = 0.1,
        tau: float = 4.0,
        collector: Union[str, dict, BaseCollector] = 'logit_mean',
        teacher_collector: Union[str, dict, BaseCollector] = 'mean',
        correlation: str = 'all',
        ramp: Optional[dict] = None,
        standardize: bool = False,
        task: Optional[str] = None,
    ) -> None:
        super().__init__()
        for key, weight in dict(alpha=alpha, beta=beta, gamma=gamma).items():
            if not _is_finite(weight) or weight < 0:
                raise ValueError(f'`{key}` is a weight, 0 or more, but got {weight!r}.')
        check_temperature(tau)
        if correlation not in self.CORRELATIONS:
            raise ValueError(
                f'`correlation` is one of {self.CORRELATIONS}, but got {correlation!r}.'
            )
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.tau = tau
        self.collector = build_collector(collector)
        self.teacher_collector = build_collector(teacher_collector)
        if (
            self.teacher_collector.include_self
            or self.teacher_collector.include_teacher
        ):
            raise ValueError(
                '`teacher_collector` collects from all teachers, and has '
                'neither `include_self` nor `include_teacher`: drop them.'
            )
        self.correlation = correlation
        self.ramp, self.ramp_terms = self._build_ramp(ramp)
        self.standardize = standardize
        self._task_name = task
        if task is not None:
            self.use_task(build_task(task))

    def _build_ramp(
        self, ramp: Optional[dict]
    ) -> Tuple[Optional[WeightRamp], Tuple[str, ...]]:
        if ramp is None:
            return None, ()
        ramp = dict(ramp)
        terms = tuple(ramp.pop('terms', ('collective', 'correlation')))
        unknown = set(terms) - set(self.TERMS)
        if unknown:
            raise ValueError(f'`ramp.terms` are of {self.TERMS}, but got {terms}.')
        return WeightRamp(**ramp), terms

    def use_task(self, task: Classification) -> None:
        """Compute the loss for a task; see
        :meth:`BaseCollectiveLoss.use_task`."""
        if self._task_name not in (None, task.name):
            raise ValueError(
                f'Invalid `task`: expected {task.name!r}, the task of the '
                f'students, got {self._task_name!r}. Leave it out.'
            )
        users = self.label_users
        if users and not task.exclusive:
            raise ValueError(
                f'{" and ".join(users)} of DCKDLoss need classes that exclude '
                f'each other, and have no meaning for task {task.name!r}, '
                'where an image has several labels. Choose one that looks at '
                "no labels, such as collector='logit_mean' and "
                "correlation='all'."
            )
        if self.standardize and not task.exclusive:
            raise ValueError(
                '`standardize` of DCKDLoss has no meaning for task '
                f'{task.name!r}: what is added to the logits of all classes '
                'changes every sigmoid. Set it to False.'
            )
        super().use_task(task)
        if self.alpha:
            self.teacher_collector.use_task(task)
        if self.beta:
            self.collector.use_task(task)

    @property
    def label_users(self) -> List[str]:
        """List[str]: The settings that ask for labels."""
        users = []
        if self.alpha and self.teacher_collector.needs_labels:
            users.append('`teacher_collector`')
        if self.beta and self.collector.needs_labels:
            users.append('`collector`')
        if self.gamma and self.correlation == 'non_target':
            users.append('`correlation`')
        return users

    @property
    def needs_teacher(self) -> bool:
        """bool: Whether the teacher has a weight or is collected from."""
        return bool(self.alpha or (self.beta and self.collector.include_teacher))

    def sources(
        self, index: int, peers: List[str], teachers: List[str]
    ) -> Dict[str, List[str]]:
        """Tell whose knowledge is in the terms of one student's loss; see
        :meth:`BaseCollectiveLoss.sources`."""
        collector = self.collector
        collected = [
            name for i, name in enumerate(peers) if i != index or collector.include_self
        ]
        if collector.include_teacher:
            collected += teachers
        terms = dict(
            teacher=(self.alpha, teachers),
            collective=(self.beta, collected),
            correlation=(self.gamma, []),
        )
        return {term: list(names) for term, (weight, names) in terms.items() if weight}

    def check_cohort(self, num_students: int, num_teachers: int) -> None:
        """Check, before training, that the loss can be computed.

        Args:
            num_students (int): N.
            num_teachers (int): M, 0 without a teacher.

        Raises:
            ValueError: If ``alpha`` or the collector asks for a teacher and
                there is none, or ``beta`` for peers and there is none.
        """
        if self.alpha and not num_teachers:
            raise ValueError(
                f'`alpha={self.alpha}` asks for a teacher, but there is '
                'none: set `alpha=0`, or give a teacher.'
            )
        if self.alpha:
            try:
                self.teacher_collector.check_members(num_teachers)
            except ValueError as error:
                raise ValueError(f'`teacher_collector`: {error}') from error
        if self.beta:
            try:
                self.collector.check_cohort(num_students, num_teachers)
            except ValueError as error:
                raise ValueError(f'`beta={self.beta}`: {error}') from error

    def check_labels(self, gt_labels: torch.Tensor, logits: torch.Tensor) -> None:
        """Check the labels of a batch; the values on the CPU alone.

        Labels that do not sum to 1, as those of an image with several labels,
        are accepted where no term looks at them.

        Args:
            gt_labels (Tensor): Class indices (B,) or probabilities (B, C).
            logits (Tensor): Those of a student (B, C).

        Raises:
            ValueError: If a term cannot use them, naming it.
        """
        users = self.label_users
        try:
            check_labels(
                gt_labels, logits.shape[0], logits.shape[1], exclusive_for=users
            )
        except ValueError as error:
            if not users or gt_labels.ndim < 2:
                raise
            raise ValueError(
                f'{" and ".join(users)} of DCKDLoss need classes that exclude '
                'each other, of which an image has one or a mixture (mixup, '
                f'CutMix, soft labels): {error} For images with several '
                'labels choose one that looks at no labels, such as '
                "collector='logit_mean' and correlation='all'."
            ) from error

    def forward(
        self,
        preds_S: Logits,
        preds_T: Optional[Logits] = None,
        gt_labels: Optional[torch.Tensor] = None,
        preds_P: Optional[Logits] = None,
    ) -> Dict[str, torch.Tensor]:
        """Compute the loss of every student.

        Args:
            preds_S (Tensor or Sequence[Tensor]): Logits of N students,
                (N, B, C), or N times (B, C).
            preds_T (Tensor or Sequence[Tensor], optional): Logits of a
                teacher (B, C), of M teachers, (M, B, C) or M times (B, C), or
                of M teachers on each student's view, (M, N, B, C). Defaults
                to None.
            gt_labels (Tensor, optional): Class indices (B,) or probabilities
                (B, C). Defaults to None.
            preds_P (Tensor or Sequence[Tensor], optional): Logits of the N
                students as peers to collect from, of shapes as ``preds_S``,
                where these are others, as of lagged copies. Defaults to
                None, ``preds_S``.

        Returns:
            Dict[str, Tensor]: The values (N,) of ``teacher``,
            ``collective`` and ``correlation``, weights included, as far as
            their weight is not 0.

        Raises:
            ValueError: If shapes or labels are wrong, or the loss cannot be
                computed for this cohort.
        """
        students = self.split_students(preds_S)
        if gt_labels is not None:
            self.check_labels(gt_labels, students[0])
        peers = None
        if preds_P is not None:
            peers = self.split_peers(preds_P, students)
        teachers: Tuple[torch.Tensor, ...] = ()
        if self.needs_teacher and preds_T is not None:
            teachers = self.split_teachers(preds_T, students)
        self.check_cohort(len(students), len(teachers))
        weights = self.weights()
        if not weights:
            return {}
        per_image = self.task.per_image(students[0].shape[1])
        with torch.autocast(students[0].device.type, enabled=False):
            if self.standardize:
                students = tuple(map(standardize, students))
                teachers = tuple(map(standardize, teachers))
                peers = peers and tuple(map(standardize, peers))
            terms = self._terms(students, teachers, peers, gt_labels)
        return {name: weights[name] * per_image * terms[name] for name in weights}

    def weights(self, time: Optional[float] = None) -> Dict[str, float]:
        r"""The factors before the terms, :math:`\alpha \tau^2`,
        :math:`\beta \tau^2` and :math:`-\gamma`, with their ramp.

        Args:
            time (float, optional): When, as the ramp counts. Defaults to
                None, in the iteration that runs.

        Returns:
            Dict[str, float]: Term to factor, of those that are computed.
        """
        weights = dict(
            teacher=self.alpha * self.tau**2,
            collective=self.beta * self.tau**2,
            correlation=-self.gamma,
        )
        # A ramp at 0 keeps its term: the losses of a run keep their names.
        weights = {name: weight for name, weight in weights.items() if weight}
        if self.ramp is None:
            return weights
        for name in set(weights).intersection(self.ramp_terms):
            weights[name] *= self.ramp() if time is None else self.ramp.factor(time)
        return weights

    def _terms(
        self,
        students: Tuple[torch.Tensor, ...],
        teachers: Tuple[torch.Tensor, ...],
        peers: Optional[Tuple[torch.Tensor, ...]],
        gt_labels: Optional[torch.Tensor],
    ) -> Dict[str, torch.Tensor]:
        """The means of the terms over all distributions."""
        students, teachers = (
            tuple(map(self.task.distributions, logits))
            for logits in (students, teachers)
        )
        if peers is not None:
            peers = tuple(map(self.task.distributions, peers))
        if not self.task.exclusive:
            gt_labels = None  # no term looks at them

        def targets(rows: slice, log_probs: torch.Tensor) -> Terms:
            labels = None if gt_labels is None else gt_labels[rows]
            teacher = collective = teacher_log_probs = rest = None
            if teachers:
                teacher_log_probs = self._soften(teachers, rows)
            if self.alpha and teacher_log_probs is not None:
                teacher = self._collect_teachers(teacher_log_probs, labels)
            if self.beta:
                collective = self.collector(
                    None,
                    log_probs if peers is None else self._soften(peers, rows),
                    teacher_log_probs,
                    labels,
                    self.tau,
                )
            if self.gamma and self.correlation == 'non_target':
                rest = self._log_rest(labels, log_probs)
            return teacher, collective, rest

        values = CohortTerms.apply(targets, bool(self.gamma), self.tau, *students)
        return {
            term: value for term, value in zip(self.TERMS, values) if value is not None
        }

    @torch.no_grad()
    def _collect_teachers(
        self, log_probs: torch.Tensor, gt_labels: Optional[torch.Tensor]
    ) -> torch.Tensor:
        """Make one target of M teachers, (M, B, C) or (M, N, B, C)."""
        views = log_probs.shape[1:-2]
        if views and gt_labels is not None:
            gt_labels = gt_labels.repeat(*views, *[1] * (gt_labels.ndim - 1))
        target = self.teacher_collector.collect(
            log_probs.flatten(1, -2), gt_labels, self.tau, list(range(len(log_probs)))
        )
        return target.unflatten(0, log_probs.shape[1:-1])

    @torch.no_grad()
    def _soften(self, logits: Tuple[torch.Tensor, ...], rows: slice) -> torch.Tensor:
        return soften([z[..., rows, :] for z in logits], self.tau)

    @staticmethod
    def _log_rest(
        gt_labels: Optional[torch.Tensor], log_probs: torch.Tensor
    ) -> torch.Tensor:
        num_classes = log_probs.shape[-1]
        if gt_labels is None:
            raise ValueError(
                "`correlation='non_target'` leaves the label "
                'out, but `gt_labels` is None.'
            )
        if num_classes < 2:
            raise ValueError(
                "`correlation='non_target'` is about the other "
                f'classes, but there is {num_classes} class.'
            )
        labels = soft_labels(gt_labels, num_classes, log_probs.dtype)
        # Finite in place of log 0: a class with this much is gone all the
        # same, and nothing becomes NaN.
        return torch.log1p(-labels.clamp(max=1)).clamp_min(-1e30)

    def extra_repr(self) -> str:
        return (
            f'alpha={self.alpha}, beta={self.beta}, gamma={self.gamma}, '
            f'tau={self.tau}, correlation={self.correlation!r}, '
            f'ramp={self.ramp}, standardize={self.standardize}'
        )


def _is_finite(value) -> bool:
    return isinstance(value, Real) and math.isfinite(value)
