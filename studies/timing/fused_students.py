# Copyright (c) mmdckd contributors. All rights reserved.
"""Compare ways to run equal students: one by one, or all in one pass.

N times ResNet-20 of CIFAR's size, forward, cross-entropy, backward, SGD:

- `separate`: one student after the other, as the cohort runs them;
- `grouped`: one network whose convolutions have N groups and whose BatchNorm
  layers have the channels of all; the first convolution, whose input they
  share, has one group;
- `vmap`: `torch.func.functional_call` under `torch.vmap` over the weights and
  statistics that `stack_module_state` stacks;
- `separate_last`, `grouped_last`: the first two with channels last;
- `..._compiled`, where `--compile` asks for them, as it needs a compiler: each
  of them with its forward and backward pass by `torch.compile`, on a GPU with
  `mode='reduce-overhead'`, as CUDA graphs.

The output has the largest differences of the logits after a step and of the running
mean of the first BatchNorm layer, to check that all ways compute the same. They
alternate in one process; see rounds.py.
"""

import argparse
import copy
import logging
from functools import partial
from typing import Callable, Dict, List

# It has to be imported before OpenMMLab's packages, to make them importable.
import mmdckd  # isort: skip  # noqa: F401
import torch
import torch.nn.functional as F
from mmengine.registry import DefaultScope
from rounds import alternate, append_json, milliseconds, ratio
from torch import nn
from torch.func import functional_call, stack_module_state

from mmdckd.registry import MODELS

CLASSES, CHANNELS = 100, 64


class Student(nn.Module):
    """ResNet-20 of CIFAR, or one of another depth."""

    def __init__(self, depth: int = 20) -> None:
        super().__init__()
        with DefaultScope.overwrite_default_scope('mmpretrain'):
            self.backbone = MODELS.build(dict(type='mmdckd.CIFARResNet', depth=depth))
        self.fc = nn.Linear(CHANNELS, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.backbone(images)[-1].mean((2, 3)))


class Grouped(nn.Module):
    """Equal students as one network.

    Args:
        students (List[Student]): They are copied.
    """

    def __init__(self, students: List[Student]) -> None:
        super().__init__()
        self.number = len(students)
        self.backbone = _merge([s.backbone for s in students], 'conv1')
        self.weight = _stacked([s.fc.weight for s in students])
        self.bias = _stacked([s.fc.bias for s in students])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.backbone(images)[-1].mean((2, 3))
        features = features.unflatten(1, (self.number, -1)).transpose(0, 1)
        return torch.baddbmm(self.bias[:, None], features, self.weight.transpose(1, 2))


def _stacked(tensors: List[torch.Tensor]) -> nn.Parameter:
    return nn.Parameter(torch.stack([t.detach() for t in tensors]))


def _merge(modules: List[nn.Module], shared: str = '') -> nn.Module:
    """Merge modules into one with a group for each; the first convolution, whose
    name is ``shared``, has one group."""
    merged = copy.deepcopy(modules[0])
    for name, child in merged.named_children():
        children = [getattr(module, name) for module in modules]
        if isinstance(child, nn.Conv2d):
            conv = nn.Conv2d(
                child.in_channels * (1 if name == shared else len(modules)),
                child.out_channels * len(modules),
                child.kernel_size,
                child.stride,
                child.padding,
                groups=1 if name == shared else len(modules),
                bias=False,
            )
            conv.weight.data = torch.cat([c.weight.data for c in children])
            setattr(merged, name, conv)
        elif isinstance(child, nn.BatchNorm2d):
            norm = nn.BatchNorm2d(child.num_features * len(modules))
            for key in ('weight', 'bias', 'running_mean', 'running_var'):
                getattr(norm, key).data = torch.cat(
                    [getattr(c, key).data for c in children]
                )
            setattr(merged, name, norm)
        else:
            setattr(merged, name, _merge(children))
    return merged


class Way:
    """A way to run the students.

    Args:
        parameters (list): The trained parameters.
        logits (Callable): Maps images to logits (N, B, C).
        mean (Callable): Returns the running mean of the first BatchNorm layer,
            (N, 16).
    """

    def __init__(self, parameters: list, logits: Callable, mean: Callable) -> None:
        self.parameters = parameters
        self.optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9)
        self.logits = logits
        self.mean = mean

    def compile(self, mode: str) -> 'Way':
        self.logits = torch.compile(self.logits, mode=mode)
        return self

    def step(self, images: torch.Tensor, labels: torch.Tensor) -> None:
        loss = sum(F.cross_entropy(z, labels) for z in self.logits(images))
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def separate(students: List[Student], layout=torch.contiguous_format) -> Way:
    students = [copy.deepcopy(s).to(memory_format=layout) for s in students]
    return Way(
        [p for s in students for p in s.parameters()],
        lambda images: torch.stack([s(images) for s in students]),
        lambda: torch.stack([s.backbone.bn1.running_mean for s in students]),
    )


def grouped(students: List[Student], layout=torch.contiguous_format) -> Way:
    network = Grouped(students).to(memory_format=layout)
    return Way(
        list(network.parameters()),
        network,
        lambda: network.backbone.bn1.running_mean.view(len(students), -1),
    )


def vmap(students: List[Student]) -> Way:
    base = copy.deepcopy(students[0]).to('meta')
    for module in base.modules():
        # It adds to a number that vmap does not let it change in place.
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked = None
        if hasattr(module, 'inplace'):
            module.inplace = False
    students = copy.deepcopy(students)
    for module in (m for s in students for m in s.modules()):
        if isinstance(module, nn.BatchNorm2d):
            module.num_batches_tracked = None
    parameters, buffers = stack_module_state(students)

    def one(own: Dict, statistics: Dict, images: torch.Tensor) -> torch.Tensor:
        return functional_call(base, (own, statistics), (images,))

    every = torch.vmap(one, in_dims=(0, 0, None))
    return Way(
        list(parameters.values()),
        lambda images: every(parameters, buffers, images),
        lambda: buffers['backbone.bn1.running_mean'],
    )


WAYS = dict(
    separate=separate,
    grouped=grouped,
    vmap=vmap,
    separate_last=partial(separate, layout=torch.channels_last),
    grouped_last=partial(grouped, layout=torch.channels_last),
)


def measure(args: argparse.Namespace) -> dict:
    torch.manual_seed(0)
    students = [Student().train() for _ in range(args.num_students)]
    students = [s.to(args.device) for s in students]
    ways = {name: build(students) for name, build in WAYS.items()}
    if args.compile:
        mode = 'reduce-overhead' if args.device == 'cuda' else 'default'
        ways.update(
            (f'{name}_compiled', build(students).compile(mode))
            for name, build in WAYS.items()
        )
    images = torch.randn(args.batch_size, 3, 32, 32, device=args.device)
    labels = torch.randint(CLASSES, (args.batch_size,), device=args.device)
    result = dict(
        N=args.num_students, B=args.batch_size, device=args.device, rounds=args.rounds
    )
    for name, way in ways.items():
        # The second logits are those after one step.
        way.step(images, labels)
        logits = [way.logits(images).detach(), way.mean()]
        if name == 'separate':
            expected = logits
        else:
            result[f'{name}_differs_by'] = max(
                float((a - b).abs().max()) for a, b in zip(logits, expected)
            )
    seconds = alternate(
        {name: lambda way=way: way.step(images, labels) for name, way in ways.items()},
        args.rounds,
        2,
        args.device,
    )
    for name in ways:
        result[f'{name}_ms'] = milliseconds(seconds[name])
        result[f'{name}_speed_up'] = ratio(seconds['separate'], seconds[name])
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--num-students', type=int, default=4)
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--compile', action='store_true')
    parser.add_argument('--out', help='a file of JSON lines')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    result = measure(args)
    for name, value in result.items():
        print(f'{name:32} {value}')
    if args.out:
        append_json(args.out, result)


if __name__ == '__main__':
    main()
