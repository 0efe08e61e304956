# Copyright (c) mmdckd contributors. All rights reserved.
"""The computation of a cohort in a plain loop of PyTorch, without a runner."""

import copy
from typing import Callable, List, Optional, Tuple

import torch
import torch.nn.functional as F

TAU, GAMMA = 4.0, 0.1
SGD = dict(lr=0.01, momentum=0.9, weight_decay=5e-4)
MEAN, STD = 80.0, 90.0


def dckd(
    students: torch.Tensor, teacher: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    """Compute the task loss and DCKDLoss with its defaults, summed over students.

    Args:
        students (Tensor): Logits (N, B, C).
        teacher (Tensor): Logits (B, C).
        labels (Tensor): Indices (B,).
    """
    number, batch, classes = students.shape
    task = F.cross_entropy(
        students.flatten(0, 1), labels.repeat(number), reduction='sum'
    )
    own = (students.float() / TAU).log_softmax(-1)
    with torch.no_grad():
        target = (teacher.float() / TAU).log_softmax(-1).expand_as(own)
        peers = own
        if number > 1:
            peers = ((own.sum(0) - own) / (number - 1)).log_softmax(-1)
    loss = task + GAMMA * (own.exp() * own).sum()
    for each in (target, peers):
        loss = loss + TAU**2 * F.kl_div(own, each, reduction='sum', log_target=True)
    return loss / batch


def plain_copy(network: torch.nn.Module) -> torch.nn.Module:
    """Copy a network without recorders or other hooks."""
    network = copy.deepcopy(network)
    for module in network.modules():
        module._forward_hooks.clear()
    return network


def logits(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the scores (B, C) of a classifier of MMPretrain."""
    features = network.neck(network.backbone(images))
    return network.head.fc(features[-1])


class HandLoop:
    """A cohort in plain PyTorch.

    Args:
        students (List[nn.Module]): Classifiers of MMPretrain; copied.
        teacher (nn.Module): A classifier of MMPretrain; copied.
        device (str): The device of the networks.
        dtype (torch.dtype, optional): The type of autocast. Defaults to None:
            float32.
        layout (torch.memory_format): The memory format of weights and feature
            maps. Defaults to channels last.
        compiled (str, optional): The mode of ``torch.compile`` for all forward
            passes and the loss, and so for their backward pass. Defaults to
            None: nothing is compiled.
    """

    def __init__(
        self,
        students: List[torch.nn.Module],
        teacher: torch.nn.Module,
        device: str,
        dtype: Optional[torch.dtype] = None,
        layout: torch.memory_format = torch.channels_last,
        compiled: Optional[str] = None,
    ) -> None:
        self.students = [
            plain_copy(each).train().to(memory_format=layout) for each in students
        ]
        self.teacher = plain_copy(teacher).eval().to(memory_format=layout)
        self.device, self.dtype, self.layout = device, dtype, layout
        self.parameters = [p for s in self.students for p in s.parameters()]
        self.optimizer = torch.optim.SGD(self.parameters, fused=device == 'cuda', **SGD)
        self.scaler = torch.amp.GradScaler(device, enabled=dtype is torch.float16)
        self.forward: Callable = self.loss
        if compiled:
            self.forward = torch.compile(self.loss, mode=compiled)

    def preprocess(self, batch: dict) -> Tuple[torch.Tensor, torch.Tensor]:
        """Return images and labels of a batch of MMEngine, on the device."""
        images = batch['inputs']
        if isinstance(images, (list, tuple)):
            images = torch.stack(tuple(images))
        images = images.to(self.device, non_blocking=True)
        images = (images.float() - MEAN) / STD
        labels = torch.cat([s.gt_label for s in batch['data_samples']])
        return (
            images.contiguous(memory_format=self.layout),
            labels.to(self.device, non_blocking=True),
        )

    def loss(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Compute the sum of all losses."""
        with torch.no_grad():
            teacher = logits(self.teacher, images)
        students = torch.stack([logits(student, images) for student in self.students])
        return dckd(students, teacher, labels)

    def autocast(self, cache: bool = True):
        """Compute in ``dtype``."""
        return torch.autocast(
            self.device,
            dtype=self.dtype or torch.bfloat16,
            enabled=self.dtype is not None,
            cache_enabled=cache,
        )

    def step(self, batch: dict) -> None:
        """Train on a batch."""
        images, labels = self.preprocess(batch)
        with self.autocast():
            loss = self.forward(images, labels)
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()


class GraphedLoop(HandLoop):
    """A cohort whose step is one CUDA graph: forward, backward, optimizer.

    It does not support float16, whose scaler reads the gradients on the host.
    """

    graph: Optional[torch.cuda.CUDAGraph] = None

    def _capture(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        self.images, self.labels = images.clone(), labels.clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._once()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._once()
        self.graph = graph

    def _once(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast(cache=False):
            loss = self.forward(self.images, self.labels)
        loss.backward()
        self.optimizer.step()

    def step(self, batch: dict) -> None:
        """Train on a batch; all have the shapes of the first."""
        images, labels = self.preprocess(batch)
        if self.graph is None:
            self._capture(images, labels)
        self.images.copy_(images, non_blocking=True)
        self.labels.copy_(labels, non_blocking=True)
        self.graph.replay()
