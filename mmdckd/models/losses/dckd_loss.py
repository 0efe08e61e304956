# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Dict, List, Optional, Sequence, Union

import torch

from mmdckd.errors import invalid
from mmdckd.registry import MODELS

from ..collectors import BaseCollector, build_collector
from ..options import check_bool, check_choice, check_temperature, check_weight, under
from ..tasks import Classification
from .functional import divergence, entropy, soften, without_target
from .logit_loss import LogitLoss
from .standardize import standardize as standardized
from .weight_ramp import build_ramp


@MODELS.register_module()
class DCKDLoss(LogitLoss):
    r"""Distills the teacher and the combined predictions of the peers.

    .. math::
        L_i = \alpha \tau^2 KL(P_t \| P_i) + \beta \tau^2 KL(C_i \| P_i)
              - \gamma H_{corr}(P_i)

    with the student's :math:`P_i = softmax(z_i / \tau)`, the teacher's
    :math:`P_t = softmax(z_t / \tau)` (several teachers are combined by
    ``teacher_collector``), the peers' predictions :math:`C_i`, combined by
    ``collector`` (see :class:`BaseCollector`), and the entropy
    :math:`H_{corr}` of :math:`P_i` (``correlation='all'``) or of
    :math:`Q_i \propto P_i (1 - y)` (``'non_target'``). KL and H are means
    over the batch, in nats. For multi-label heads, they are sums over classes
    of Bernoulli distributions with :math:`p_{ic} = sigmoid(z_{ic} / \tau)`, see
    :class:`~mmdckd.models.tasks.MultiLabel`. A term of weight 0 is not
    computed. Teachers and peers are detached:
    :math:`\partial L_i / \partial z_j = 0`. With ``model.finished_peers``,
    :math:`C_i` combines these instead of the students in training.

    The idea is that of `Deep Collective Knowledge Distillation
    <https://arxiv.org/abs/2304.08878>`_: a student learns from its teacher and
    from the combined predictions of the other students, and keeps the
    correlation between classes. **This formulation is the project's own**: the
    paper's equations were not available.

    With ``beta=gamma=0`` it is `Distilling the Knowledge in a Neural Network
    <https://arxiv.org/abs/1503.02531>`_ (Hinton et al., 2015); with
    ``alpha=gamma=0``, ``tau=1`` and ``collector='mean'`` its gradient is that
    of `Deep Mutual Learning <https://arxiv.org/abs/1706.00384>`_ (Zhang et
    al., CVPR 2018). ``docs/howto/tuning.md`` has the measurements behind each
    default.

    Args:
        alpha (float): Weight of the teacher. Defaults to 1.0.
        beta (float): Weight of the combined peers. Defaults to 1.0.
        gamma (float): Weight of the entropy. Defaults to 0.1.
        tau (float): Temperature. Defaults to 4.0.
        collector (str, dict or BaseCollector): How the peers' predictions are
            combined: 'mean', 'max', 'logit_mean', 'min_logit', 'naive',
            'linear', 'general', 'confidence', 'cross_entropy', 'held_out',
            'agreement', or the config of a collector. Defaults to 'logit_mean'.
        teacher_collector (str, dict or BaseCollector): How several teachers'
            predictions are combined; same options as ``collector``. Defaults
            to 'mean'.
        correlation (str): The classes whose entropy is increased, 'all' or
            'non_target'; the latter needs labels. Defaults to 'all'.
        ramp (dict, optional): Arguments of :class:`WeightRamp`, and
            ``terms``, the terms it applies to. These default to
            ``('collective', 'correlation')``, as peers know nothing at first,
            unlike a teacher. Defaults to None: constant weights.
        standardize (bool): Whether all logits are standardized first (LSKD);
            see :func:`~mmdckd.models.losses.standardize.standardize`. Defaults
            to False.

    Raises:
        ValueError: If an option is invalid, or ``teacher_collector`` has
            ``include_self`` or ``include_teacher``, as its set is all teachers,
            or uses the students.

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
    by_image = True
    #: The number of finished peers; 0 if the students are the peers.
    num_finished_peers = 0

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
    ) -> None:
        super().__init__()
        for key, weight in dict(alpha=alpha, beta=beta, gamma=gamma).items():
            check_weight(key, weight)
        check_temperature(tau)
        check_choice('correlation', correlation, self.CORRELATIONS)
        check_bool('standardize', standardize)
        self.alpha = alpha
        self.beta = beta
        self.gamma = gamma
        self.tau = tau
        self.collector = build_collector(collector)
        self.teacher_collector = build_collector(teacher_collector)
        for key in ('include_self', 'include_teacher', 'held_out'):
            if getattr(self.teacher_collector, key):
                raise ValueError(
                    f'Invalid `teacher_collector`: expected no `{key}`, as it always '
                    f'combines all teachers, got {self.teacher_collector}.'
                )
        if self.teacher_collector.compares_students:
            raise ValueError(
                'Invalid `teacher_collector`: expected one that combines teachers '
                f'only, got {type(self.teacher_collector).__name__}, which compares '
                'students.'
            )
        self.correlation = correlation
        self.ramp_terms: Sequence[str] = ('collective', 'correlation')
        if isinstance(ramp, dict):
            ramp = dict(ramp)
            self.ramp_terms = ramp.pop('terms', self.ramp_terms)
            if not isinstance(self.ramp_terms, (list, tuple)) or not self.ramp_terms:
                raise invalid('ramp.terms', 'a list of terms', self.ramp_terms)
            for term in self.ramp_terms:
                check_choice('ramp.terms', term, self.TERMS)
        self.ramp = build_ramp(ramp)
        self.standardize = standardize

    def terms(
        self,
        students: torch.Tensor,
        teachers: Optional[torch.Tensor],
        peers: Optional[torch.Tensor],
        gt_labels: Optional[torch.Tensor],
    ) -> Dict[str, torch.Tensor]:
        """Compute the terms whose weight is not 0; see
        :meth:`LogitLoss.terms`."""
        labels = gt_labels if self.task.exclusive else None
        log_p = self._soften(students)
        log_t = None if teachers is None else self._soften(teachers)
        values = {}
        if self.alpha and log_t is not None:
            target = self.teacher_collector.collect_all(log_t, labels, self.tau)
            values['teacher'] = divergence(target, log_p)
        if self.beta:
            log_peers = log_p if peers is None else self._soften(peers)
            if log_peers.ndim == log_p.ndim:
                collected = self.collector(None, log_peers, log_t, labels, self.tau)
            else:
                collected = self.collector.collect_finished(
                    log_peers, log_p, log_t, labels, self.tau
                )
            values['collective'] = divergence(collected, log_p)
        if self.gamma:
            non_target = self.correlation == 'non_target'
            log_q = without_target(log_p, labels) if non_target else log_p
            values['correlation'] = entropy(log_q).mean(-1)
        per_image = self.task.per_image(students.shape[-1])
        weights = self.weights()
        return {term: weights[term] * per_image * values[term] for term in values}

    def _soften(self, logits: torch.Tensor) -> torch.Tensor:
        r"""Compute :math:`\log P`."""
        if self.standardize:
            logits = standardized(logits)
        return soften(self.task.distributions(logits), self.tau)

    def weights(self, time: Optional[float] = None) -> Dict[str, float]:
        r"""Compute the factors of the terms, :math:`\alpha \tau^2`,
        :math:`\beta \tau^2` and :math:`-\gamma`, ramp included.

        Args:
            time (float, optional): The time in the ramp's unit. Defaults to
                None: the current iteration.

        Returns:
            Dict[str, float]: Term to its factor, for the terms that are
            computed. A ramp at 0 keeps its term, so that a run always logs the
            same losses.
        """
        weights = dict(
            teacher=self.alpha * self.tau**2,
            collective=self.beta * self.tau**2,
            correlation=-self.gamma,
        )
        weights = {term: weight for term, weight in weights.items() if weight}
        if self.ramp is not None:
            for term in set(weights).intersection(self.ramp_terms):
                weights[term] *= self.ramp() if time is None else self.ramp.factor(time)
        return weights

    def use_task(self, task: Classification) -> None:
        """Set the task of the cohort; see
        :meth:`BaseCollectiveLoss.use_task`."""
        if self.standardize and not task.exclusive:
            raise ValueError(
                f'Invalid `standardize`: expected False for the task {task.name!r}, '
                'got True.'
            )
        if self.gamma and self.correlation == 'non_target' and not task.exclusive:
            raise ValueError(
                f"Invalid `correlation`: expected 'all' for the task {task.name!r}, "
                f'got {self.correlation!r}.'
            )
        if self.alpha:
            with under('teacher_collector'):
                self.teacher_collector.use_task(task)
        if self.beta:
            self.collector.use_task(task)
        super().use_task(task)

    def use_finished_peers(self, number: int) -> bool:
        """Combine the predictions of finished peers; see
        :meth:`BaseCollectiveLoss.use_finished_peers`."""
        self.num_finished_peers = number
        return bool(self.beta)

    @property
    def held_out(self) -> bool:
        """bool: Whether the collector uses predictions on images to which peers
        are blind."""
        return bool(self.beta and self.collector.held_out)

    def use_folds(self, folds: Sequence[Optional[int]]) -> None:
        """Pass the folds to the collector; see
        :meth:`BaseCollectiveLoss.use_folds`."""
        if self.beta:
            self.collector.use_folds(folds)

    @property
    def label_users(self) -> List[str]:
        """List[str]: The options that need labels."""
        users = dict(
            teacher_collector=self.alpha and self.teacher_collector.needs_labels,
            collector=self.beta and self.collector.needs_labels,
            correlation=self.gamma and self.correlation == 'non_target',
        )
        return [f'`{key}`' for key, used in users.items() if used]

    @property
    def needs_teacher(self) -> bool:
        """bool: Whether the teacher has a weight or is in the peers' sets."""
        return bool(self.alpha or (self.beta and self.collector.include_teacher))

    def sources(
        self, index: int, peers: List[str], teachers: List[str]
    ) -> Dict[str, List[str]]:
        """List the members that each term learns from; see
        :meth:`BaseCollectiveLoss.sources`."""
        collected = self.collector.sources(
            index, peers, teachers, finished=bool(self.num_finished_peers)
        )
        names = dict(teacher=list(teachers), collective=collected, correlation=[])
        return {term: names[term] for term in self.weights(0)}

    def check_cohort(self, num_students: int, num_teachers: int) -> None:
        """Check that every term with a weight has its teacher or peers; see
        :meth:`BaseCollectiveLoss.check_cohort`."""
        if self.alpha:
            if not num_teachers:
                raise invalid('alpha', '0 without a teacher', self.alpha)
            with under('teacher_collector'):
                self.teacher_collector.check_members(num_teachers)
        if self.beta:
            with under('collector'):
                self.collector.check_cohort(
                    num_students, num_teachers, self.num_finished_peers
                )

    def extra_repr(self) -> str:
        return (
            f'alpha={self.alpha}, beta={self.beta}, gamma={self.gamma}, '
            f'tau={self.tau}, correlation={self.correlation!r}, '
            f'ramp={self.ramp}, standardize={self.standardize}'
        )
