# Copyright (c) mmdckd contributors. All rights reserved.
"""Compare a training step of a cohort with alternatives.

N students, a teacher, DCKDLoss with its defaults, SGD. These are timed:

- `cohort`: an iteration of the real runner, with all hooks of
  `configs/_base_/cohort.py`;
- `hand`: the same computation in a plain loop of PyTorch, on copies of the
  same networks: one optimizer, no hooks, the loss written with autograd;
- `single`: an iteration of MMRazor's SingleTeacherDistill, one student, with
  MMEngine's default hooks; N of them are N runs;
- `cohort_1`: the same losses for one student in a cohort, with the hooks of
  `cohort`;
- `channels_last`: `cohort` with `model.channels_last=True`;
- `compiled`, `compiled_channels_last`: these with `compile=True`, with
  `--compile`, which needs a compiler;
- the parts alone: `teacher` forward, a `student` step without teacher, the
  `loss`, and `data`, loading a batch.

The losses of `cohort` and `hand` are compared before the first step. All of
them alternate in one process, which keeps freed memory as a training does;
rounds.py explains the timing. A ratio is the median of the ratios of the rounds.
"""

import argparse
import copy
import logging
import tempfile
from typing import Callable, Dict, List

# It has to be imported before OpenMMLab's packages, to make them importable.
import mmdckd  # isort: skip  # noqa: F401
import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapper
from rounds import alternate, append_json, milliseconds, ratio
from runs import COHORT, KD, MEAN, PLAIN, SETTINGS, STD, Run

from mmdckd.engine.memory import keep_freed_memory
from mmdckd.models.algorithms.buffer_snapshot import BufferSnapshot
from mmdckd.models.losses import DCKDLoss
from mmdckd.names import is_loss

TAU, GAMMA = 4.0, 0.1
WARM_UP = 2
SGD = dict(lr=0.01, momentum=0.9, weight_decay=5e-4)


class HandWritten:
    """A cohort in plain PyTorch.

    Args:
        students (List[nn.Module]): Classifiers of MMPretrain.
        teacher (nn.Module): Another.
        device (str): Their device.
    """

    def __init__(
        self, students: List[torch.nn.Module], teacher: torch.nn.Module, device: str
    ) -> None:
        self.students = [plain_copy(each).train() for each in students]
        self.teacher = plain_copy(teacher).eval()
        self.device = device
        parameters = [p for s in self.students for p in s.parameters()]
        self.optimizer = torch.optim.SGD(parameters, **SGD)

    def preprocess(self, batch: dict):
        inputs = batch['inputs']
        if isinstance(inputs, (list, tuple)):
            inputs = torch.stack(tuple(inputs))
        images = inputs.to(self.device).float()
        mean = torch.tensor(MEAN, device=self.device).view(1, 3, 1, 1)
        std = torch.tensor(STD, device=self.device).view(1, 3, 1, 1)
        labels = torch.cat([s.gt_label for s in batch['data_samples']])
        return (images - mean) / std, labels.to(self.device)

    def loss(self, batch: dict) -> torch.Tensor:
        images, labels = self.preprocess(batch)
        with torch.no_grad():
            target = (logits(self.teacher, images) / TAU).log_softmax(1)
        students = [logits(student, images) for student in self.students]
        soft = [(z / TAU).log_softmax(1) for z in students]
        with torch.no_grad():
            total = sum(soft)
            others = max(len(soft) - 1, 1)
            peers = [((total - own) / others).log_softmax(1) for own in soft]
        loss = 0.0
        for z, own, collected in zip(students, soft, peers):
            loss = loss + F.cross_entropy(z, labels)
            for each in (target, collected):
                loss = loss + TAU**2 * F.kl_div(
                    own, each, reduction='batchmean', log_target=True
                )
            loss = loss + GAMMA * (own.exp() * own).sum(1).mean()
        return loss

    def step(self, batch: dict) -> None:
        loss = self.loss(batch)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()


def plain_copy(network: torch.nn.Module) -> torch.nn.Module:
    """Copy a network without recorders or other hooks."""
    network = copy.deepcopy(network)
    for module in network.modules():
        module._forward_hooks.clear()
    return network


def logits(network: torch.nn.Module, images: torch.Tensor) -> torch.Tensor:
    features = network.neck(network.backbone(images))
    return network.head.fc(features[-1])


def check_same(run: Run, hand: HandWritten, batch: dict) -> None:
    """Make sure that both compute the same.

    Raises:
        AssertionError: If they do not.
    """
    model = run.model
    before = BufferSnapshot(model)
    before.take()
    with torch.no_grad():
        losses = model(**model.data_preprocessor(batch, True), mode='loss')
        own = sum(v for name, v in losses.items() if is_loss(name))
        torch.testing.assert_close(
            own, copy.deepcopy(hand).loss(batch), rtol=1e-4, atol=1e-4
        )
    before.restore()


def parts(
    run: Run, setting, num_students: int, device: str
) -> Dict[str, Callable[[], None]]:
    """Return the parts of a step, each alone."""
    batch = run.load()
    cohort = copy.deepcopy(run.model.cohort).train()
    student = cohort.students['student0']
    student.data_preprocessor = cohort.data_preprocessor
    optimizer = OptimWrapper(torch.optim.SGD(student.parameters(), **SGD))
    teacher = run.model.teachers[0]
    images = run.model.data_preprocessor(batch, True)['inputs']
    shape = (setting.batch_size, setting.classes)
    students = torch.randn(num_students, *shape, device=device, requires_grad=True)
    known = torch.randn(*shape, device=device)
    loss = DCKDLoss()

    def loss_alone() -> None:
        terms = loss(list(students.unbind()), known)
        sum(term.sum() for term in terms.values()).backward()

    return dict(
        teacher=lambda: teacher(images),
        student=lambda: student.train_step(batch, optimizer),
        loss=loss_alone,
        data=run.load,
    )


def measure(args: argparse.Namespace, work_dir: str) -> dict:
    setting = SETTINGS[args.setting](args.batch_size)
    n, device = args.num_students, args.device
    torch.manual_seed(0)
    run = Run(setting, setting.collective(n), COHORT, work_dir)
    hand = HandWritten(
        list(run.model.cohort.students.values()), run.model.teachers[0].model, device
    )
    batch = run.load()
    check_same(run, hand, batch)
    number = args.rounds + WARM_UP
    kd = dict(type='mmdckd.CollectiveDistiller', **KD)
    channels_last = dict(setting.collective(n), channels_last=True)
    ways = dict(
        cohort=run.iterations(number),
        hand=lambda: hand.step(batch),
        single=Run(setting, setting.single(), PLAIN, work_dir).iterations(number),
        cohort_1=Run(setting, setting.collective(1, kd), COHORT, work_dir).iterations(
            number
        ),
        channels_last=Run(setting, channels_last, COHORT, work_dir).iterations(number),
        **parts(run, setting, n, device),
    )
    if args.compile:
        ways.update(
            compiled=Run(
                setting, setting.collective(n), COHORT, work_dir, compile=True
            ).iterations(number),
            compiled_channels_last=Run(
                setting, channels_last, COHORT, work_dir, compile=True
            ).iterations(number),
        )
    seconds = alternate(ways, args.rounds, WARM_UP, device)
    t, s = seconds['teacher'], seconds['student']
    separate = [n * each for each in seconds['single']]
    bound = [(a + n * b) / (n * (a + b)) for a, b in zip(t, s)]
    together = [
        a + n * b + c + d for a, b, c, d in zip(t, s, seconds['loss'], seconds['data'])
    ]
    whole = [a + b for a, b in zip(seconds['cohort'], seconds['data'])]
    result = dict(
        setting=args.setting,
        N=n,
        B=setting.batch_size,
        device=device,
        threads=args.threads,
        rounds=args.rounds,
    )
    result.update(
        (f'{name}_ms', milliseconds(times)) for name, times in seconds.items()
    )
    result.update(
        throughput_to_hand=ratio(seconds['hand'], seconds['cohort']),
        **{
            f'{name}_speed_up': ratio(seconds['cohort'], seconds[name])
            for name in ('channels_last', 'compiled', 'compiled_channels_last')
            if name in seconds
        },
        cohort_1_to_single=ratio(seconds['cohort_1'], seconds['single']),
        cohort_to_separate=ratio(seconds['cohort'], separate),
        bound_to_separate=round(ratio(bound, [1.0] * len(bound)) * 1.02, 4),
        cohort_to_parts=ratio(whole, together),
    )
    return result


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--setting', choices=list(SETTINGS), default='cifar')
    parser.add_argument('--num-students', type=int, default=4)
    parser.add_argument('--batch-size', type=int)
    parser.add_argument('--rounds', type=int, default=9)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--device', choices=['cpu', 'cuda'], default='cpu')
    parser.add_argument('--compile', action='store_true')
    parser.add_argument('--out', help='a file of JSON lines')
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(args.threads)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as work_dir:
        result = measure(args, work_dir)
    width = max(map(len, result))
    for name, value in result.items():
        print(f'{name:{width}}  {value}')
    if args.out:
        append_json(args.out, result)


if __name__ == '__main__':
    main()
