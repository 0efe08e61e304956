# Copyright (c) mmdckd contributors. All rights reserved.
"""Stop a run before a non-finite loss changes the model."""

import math
from itertools import chain
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Sequence

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size
from mmengine.logging import MessageHub
from mmengine.structures import BaseDataElement
from torch import nn

from mmdckd.names import COLLECTIVE, is_loss, parse_loss, student_of

from ..options import check_count
from .buffer_snapshot import BufferSnapshot
from .copied_losses import CopiedLosses, at_end_of_backward, mean_of
from .step import StepRecord


class FiniteGuard:
    """Stops a run at a non-finite loss, with the model as before the step.

    A forward pass in training mode updates the statistics of BatchNorm
    layers; the guard restores them.

    In a single process, the guard looks at the losses at the end of their
    backward pass, before the optimizer uses the gradients: until then, the host
    need not wait for the device, and gives it the backward pass. Several
    processes look before they exchange gradients.

    Args:
        students (Dict[str, nn.Module]): Name to network.
        others (Sequence[nn.Module]): Other modules whose buffers a step
            changes.
        every (int): K: the iterations K, 2K, ... and the first one are checked.
            In the others, the host does not wait for the device, and the values
            to log are those of the last check. Defaults to 1: all iterations.

    Raises:
        ValueError: If ``every`` is not a whole number, 1 or more.
    """

    def __init__(
        self,
        students: Mapping[str, nn.Module],
        others: Sequence[nn.Module],
        every: int = 1,
    ) -> None:
        check_count('check_finite_every', every)
        self._students = students
        self._others = others
        self._every = every
        self._due = True
        self._logged: Dict[str, torch.Tensor] = {}
        self._buffers: Optional[BufferSnapshot] = None
        self._names: List[str] = []
        self._values: Optional[Dict[str, torch.Tensor]] = None
        self._log: Dict[str, torch.Tensor] = {}

    def remember(self) -> None:
        """Save the state before a step that will be checked."""
        iteration = MessageHub.get_current_instance().get_info('iter')
        number = 0 if iteration is None else iteration + 1
        self._due = not self._logged or number % self._every == 0
        if not self._due:
            return
        if self._buffers is None:
            # Not in __init__: a runner may convert BatchNorm layers later.
            self._buffers = BufferSnapshot(*self._students.values(), *self._others)
        self._buffers.take()

    def check(
        self,
        losses: Dict[str, torch.Tensor],
        step: StepRecord,
        undo: Callable[[], None],
        save: Optional[Callable[[], str]] = None,
    ) -> None:
        """Check the losses of a step, if it is one to check.

        Args:
            losses (Dict[str, Tensor]): Losses and statistics by name.
            step (StepRecord): What the step recorded.
            undo (Callable): Undoes what the step changed beside buffers, such as
                gradients.
            save (Callable, optional): Writes a checkpoint of the state before
                the step, and returns its path. Defaults to None.

        Raises:
            FloatingPointError: If a loss is not finite in any process; the
                message names the member, the iteration and the images. In a
                single process, the backward pass of the losses raises it.
        """
        if not self._due:
            return
        self._names, self._values, self._log = list(losses), None, {}
        copied = CopiedLosses(losses)

        def look() -> None:
            self._values, finite = copied.look_at()
            if not all(finite.values()):
                undo()
                self._stop(copied.means, finite, step, save)
            if self._log:
                self._log.update(self._checked())

        if get_world_size() > 1 or not at_end_of_backward(losses, look):
            look()

    def _checked(self) -> Dict[str, torch.Tensor]:
        """Return the values to log of the losses that were checked."""
        values, self._values = self._values or {}, None
        terms = [value for name, value in values.items() if is_loss(name)]
        self._logged = {'loss': sum(terms, torch.zeros(())), **values}
        return dict(self._logged)

    def _stop(
        self,
        losses: Dict[str, torch.Tensor],
        finite: Dict[str, bool],
        step: StepRecord,
        save: Optional[Callable[[], str]],
    ) -> None:
        message = describe_losses(losses, _causes(finite, step), step.samples)
        if self._buffers is not None:
            self._buffers.restore()
        spoilt = self._spoilt()
        saved = save and save()
        message += ' The run stops before any update' + (
            f'; {saved} holds the state before this iteration.'
            if saved
            else '. To save the state before this iteration, add '
            "dict(type='mmdckd.SaveOnNonFiniteHook') to `custom_hooks`."
        )
        if spoilt:
            message += (
                f' The weights of {", ".join(spoilt)} are not finite either, '
                'because of a gradient in an earlier iteration. Resume from an '
                'earlier checkpoint.'
            )
        raise FloatingPointError(
            f'{message} Check the images; if they are intact, lower the learning '
            'rate, or clip gradients with `optim_wrapper.clip_grad`.'
        )

    def values(
        self, losses: Dict[str, torch.Tensor], log: Dict[str, torch.Tensor]
    ) -> Dict[str, torch.Tensor]:
        """Return the values to log for the losses that were checked last.

        The check copies them to the CPU all at once. MMEngine would synchronize
        with the device for each value.

        Args:
            losses (Dict[str, Tensor]): Losses and statistics by name.
            log (Dict[str, Tensor]): What MMEngine would log; used for losses
                that were not checked.

        Returns:
            Dict[str, Tensor]: Their sum, ``loss``, and each mean by name; before
            the check, detached on the device, to be replaced by it; in an
            iteration that is not checked, those of the last check.
        """
        if not self._due:
            return dict(self._logged)
        if list(losses) != self._names:
            self._logged = CopiedLosses(log).look_at()[0]
            return dict(self._logged)
        if self._values is not None:
            return self._checked()
        self._log = {name: mean_of(value) for name, value in log.items()}
        return self._log

    def _spoilt(self) -> List[str]:
        """Return the students whose weights are non-finite in any process."""
        own = [
            name
            for name, student in self._students.items()
            if not all(
                p.isfinite().all() for p in student.parameters() if not p.is_meta
            )
        ]
        return sorted(set(chain(*all_gather_object(own))))


def describe_losses(
    losses: Dict[str, torch.Tensor],
    causes: Sequence[Optional[str]],
    samples: Optional[Sequence[BaseDataElement]],
) -> str:
    """Describe which losses are not finite, in which iteration, on which images.

    Every process must call it, and gets the same message about all processes.
    The iteration comes from MMEngine's message hub, where ``RuntimeInfoHook``
    stores ``iter`` and ``epoch``.

    Args:
        losses (Dict[str, Tensor]): Losses by name.
        causes (Sequence[str]): The students, or finished peers, that are the
            cause; None stands for a teacher.
        samples (Sequence[DataSample], optional): The batch.

    Returns:
        str: The message.
    """
    bad = {}
    for name, loss in losses.items():
        value = float(mean_of(loss)) if is_loss(name) else 0.0
        if not math.isfinite(value):
            bad[name] = value
    found = all_gather_object((bad, _images(samples) if bad else []))
    terms = {name: value for bad, _ in found for name, value in bad.items()}
    # Processes that hold different students may see the same images.
    images = list(dict.fromkeys(image for _, images in found for image in images))

    own = [name for name in terms if student_of(name) in causes]
    own = own or list(terms)
    listed = ', '.join(f'{name}={terms[name]}' for name in own)
    if len(own) < len(terms):
        listed += f', and {len(terms) - len(own)} losses of members that learn from it'
    hub = MessageHub.get_current_instance()
    step, epoch = hub.get_info('iter'), hub.get_info('epoch')
    when = '' if step is None else f' in iteration {step + 1}'
    if epoch is not None:
        when += f' (epoch {epoch + 1})'
    whose = ', '.join(cause or 'the teacher' for cause in causes)
    return (
        f'Not finite{when}: the loss of {whose}: {listed}. Images of the batch: '
        f'{", ".join(images)}.'
    )


def _images(samples: Optional[Sequence[BaseDataElement]]) -> List[str]:
    return [
        str(
            sample.get('img_path')
            or f'sample {sample.get("sample_idx", f"{i} of the batch")}'
        )
        for i, sample in enumerate(samples or [])
    ]


def _causes(finite: Dict[str, bool], step: StepRecord) -> List[Optional[str]]:
    """Find the members whose losses are not finite; None stands for a teacher.

    A non-finite tensor of one member makes the collective losses of all others
    non-finite. The cause is a member whose own losses or tensors are not
    finite.
    """
    bad = [name for name, is_finite in finite.items() if not is_finite]
    causes = {student_of(name) for name in bad if not _is_collective(name)}
    if any(map(_is_collective, bad)):
        owners, tensors = zip(*step.owners())
        flags = _agreed_finite(tensors)
        causes.update(o for o, is_finite in zip(owners, flags) if not is_finite)
    causes = causes or {student_of(name) for name in bad}
    return sorted(causes, key=str)


def _is_collective(key: str) -> bool:
    found = parse_loss(key)
    return found is not None and found.part == COLLECTIVE


def _agreed_finite(tensors: Iterable[torch.Tensor]) -> List[bool]:
    """Tell for each tensor whether it is finite in every process."""
    flags = torch.stack([tensor.isfinite().all() for tensor in tensors])
    if get_world_size() > 1:
        flags = flags.int()
        all_reduce(flags, 'min')
    return flags.bool().tolist()
