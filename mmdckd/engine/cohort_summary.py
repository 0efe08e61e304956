# Copyright (c) mmdckd contributors. All rights reserved.
"""Summarizes a cohort: its members, their cost, and who learns what from whom."""

from dataclasses import dataclass, field, replace
from typing import Callable, Dict, List, Sequence

import torch
from mmengine.model import BaseModel
from rich import box
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from mmdckd import names
from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.models.backbones import ModuleBackbone


@dataclass
class Member:
    """One network of a cohort.

    Attributes:
        name (str): The name in logs.
        role (str): ``'student'``, ``'teacher'``, ``'trainable teacher'``,
            ``'lagged peer'`` or ``'finished peer'``.
        network (str): The kind of network.
        parameters (int): The number of parameters.
        macs (int): Multiply-accumulate operations of the matrix products and
            convolutions in the forward pass of one image.
        sources (Dict[str, List[str]]): For each loss of this member, the
            members that it learns from; ``'labels'`` for the labels, empty if
            the loss uses only its own prediction.
    """

    name: str
    role: str
    network: str
    parameters: int
    macs: int
    sources: Dict[str, List[str]] = field(default_factory=dict)


def summarize(model: CollectiveDistill, shape: Sequence[int]) -> List[Member]:
    """Describe the members of a cohort.

    The model stays unchanged, including the random state.

    Args:
        model (CollectiveDistill): The model.
        shape (Sequence[int]): The shape of one image, (C, H, W).

    Returns:
        List[Member]: The teachers, then lagged or finished peers if there are
        any, then the students.
    """
    inputs = torch.zeros(1, *shape)
    role = 'trainable teacher' if model.teacher_trainable else 'teacher'
    members = []
    for name, holder in zip(model.teacher_names, model.teachers):
        member = _member(name, role, holder.model, inputs, holder.adapt)
        if model.teacher_trainable:
            member.sources['task'] = ['labels']
        members.append(member)
    students = {
        name: _member(name, 'student', student, inputs)
        for name, student in model.cohort.students.items()
    }
    peers = model.cohort.names
    if model.finished_peers is not None:
        peers = list(model.finished_peers.networks)
        members += [
            _member(name, 'finished peer', peer.model, inputs, peer.adapt)
            for name, peer in model.finished_peers.networks.items()
        ]
    if model.lagged_peers is not None:
        peers = [names.lagged_name(name) for name in peers]
        members += [
            replace(
                student, name=names.lagged_name(name), role='lagged peer', sources={}
            )
            for name, student in students.items()
        ]
    for name, member in students.items():
        if model.calculate_student_loss:
            member.sources['task'] = ['labels']
        member.sources.update(_distill_sources(model, name))
    for loss_name, loss in model.distiller.collective_losses.items():
        for index, member in enumerate(students.values()):
            found = loss.sources(index, peers, model.teacher_names)
            for term, members_of_term in found.items():
                key = f'{loss_name}.{term}' if term else loss_name
                member.sources[key] = members_of_term
    return members + list(students.values())


def as_table(members: Sequence[Member]) -> str:
    """Format a summary as a text table with one line per loss."""
    parameters = _count(sum(member.parameters for member in members))
    macs = _count(sum(member.macs for member in members))
    table = Table(box=box.ASCII, show_edge=False, show_footer=True, pad_edge=False)
    table.add_column('member', 'all')
    table.add_column('role')
    table.add_column('network')
    table.add_column('parameters', parameters, justify='right')
    table.add_column('forward', f'{macs}MAC', justify='right')
    table.add_column('learns what: from whom')
    for member in members:
        table.add_row(
            member.name,
            member.role,
            member.network,
            _count(member.parameters),
            f'{_count(member.macs)}MAC',
            '\n'.join(
                f'{loss}: {_named(found, member.name)}'
                for loss, found in member.sources.items()
            ),
        )
    # As wide as needed, because log lines are not wrapped.
    console = Console(width=10**6, color_system=None, markup=False, emoji=False)
    with console.capture() as written:
        console.print(table)
    return '\n'.join(line.rstrip() for line in written.get().splitlines())


def _named(sources: List[str], own: str) -> str:
    return ', '.join('itself' if name == own else name for name in sources) or 'itself'


def _count(number: int) -> str:
    for unit, size in (('G', 10**9), ('M', 10**6), ('k', 10**3)):
        if number >= size:
            return f'{number / size:.2f} {unit}'
    return f'{number} '


def _member(
    name: str,
    role: str,
    network: BaseModel,
    inputs: torch.Tensor,
    adapt: Callable = lambda inputs: inputs,
) -> Member:
    parameters = list(network.parameters())
    try:
        macs = _macs(network, adapt(inputs.to(parameters[0])))
    except Exception as error:
        raise ValueError(
            f'Invalid `model`: expected networks that take images of shape '
            f'{tuple(inputs.shape[1:])}, got the {role} {name!r}, which raises '
            f'{type(error).__name__}: {error}'
        ) from error
    return Member(
        name, role, _describe(network), sum(p.numel() for p in parameters), macs
    )


def _describe(network: BaseModel) -> str:
    part = getattr(network, 'backbone', None) or getattr(network, 'model', network)
    if isinstance(part, ModuleBackbone):
        part = part.module
    for key in ('depth', 'arch'):
        size = getattr(part, key, None)
        if isinstance(size, (int, str)):
            return f'{type(part).__name__} ({size})'
    return type(part).__name__


@torch.no_grad()
def _macs(network: BaseModel, inputs: torch.Tensor) -> int:
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        with FlopCounterMode(display=False) as counter:
            network(inputs, mode='tensor')
    finally:
        for module, training in modes.items():
            module.training = training
    # An addition and a multiplication count as two FLOPs.
    return counter.get_total_flops() // 2


def _distill_sources(model: CollectiveDistill, name: str) -> Dict[str, List[str]]:
    """Return the MMRazor losses of one student."""
    distillers = model.distiller.student_distillers
    if name not in distillers:
        return {}
    distiller = distillers[name]
    teachers = model.teacher_names[:1] if model.teachers else [name]
    mappings = getattr(distiller, 'loss_forward_mappings', None) or {}
    return {
        loss: []
        if all(
            part['from_student']
            for part in mappings.get(loss, {}).values()
            if isinstance(part, dict)
        )
        else teachers
        for loss in distiller.distill_losses
    }
