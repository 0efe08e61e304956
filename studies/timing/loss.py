# Copyright (c) mmdckd contributors. All rights reserved.
"""Compare the cost of DCKDLoss with that of alternatives.

For N students, C classes and a batch of B images, forward and backward:

- `dckd`: DCKDLoss with its defaults, for all students;
- `kl`: N times MMRazor's KLDivergence to the teacher, the cost of plain KD;
- `pairwise`: the same three terms in plain autograd, which combines the N - 1 peers
  of each student separately: O(N^2).

All three alternate in one process. The time is the median over the rounds; a ratio
is the median of the ratios of the rounds. Memory is the peak of the allocated
tensors beyond the logits, gradients included, as a multiple of the students' logits.
"""

import argparse
import json
import statistics
import time
import weakref
from itertools import product

import mmdckd  # isort: skip  # noqa: F401
import torch
from mmrazor.models.losses import KLDivergence
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mmdckd.models.losses import DCKDLoss

TAU, GAMMA = 4.0, 0.1


def dckd(students, teacher):
    terms = DCKDLoss(gamma=GAMMA, tau=TAU)(students, teacher)
    return sum(term.sum() for term in terms.values())


def kl(students, teacher):
    losses = [KLDivergence(tau=TAU) for _ in students]
    return sum(loss(z, teacher) for loss, z in zip(losses, students))


def pairwise(students, teacher):
    total = 0
    target = (teacher / TAU).softmax(1)
    for i, z in enumerate(students):
        log_p = (z / TAU).log_softmax(1)
        with torch.no_grad():
            peers = [
                (other / TAU).log_softmax(1)
                for j, other in enumerate(students)
                if j != i
            ]
            collected = torch.stack(peers).mean(0).softmax(1)
        for t in (target, collected):
            total = total + TAU**2 * (t * (t.log() - log_p)).sum(1).mean()
        total = total + GAMMA * (log_p.exp() * log_p).sum(1).mean()
    return total


WAYS = dict(dckd=dckd, kl=kl, pairwise=pairwise)


class Peak(TorchDispatchMode):
    """Tracks the peak memory of the tensors that operators return, in bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.most = 0
        self.alive = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        known = {
            x.untyped_storage()._cdata
            for x in tree_leaves((args, kwargs))
            if isinstance(x, torch.Tensor)
        }
        out = func(*args, **(kwargs or {}))
        for x in tree_leaves(out):
            if isinstance(x, torch.Tensor):
                storage = x.untyped_storage()
                if storage._cdata not in known | self.alive:
                    self._hold(storage)
        return out

    def _hold(self, storage) -> None:
        key, size = storage._cdata, storage.nbytes()
        self.alive.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key, size) -> None:
        self.alive.discard(key)
        self.now -= size


def step(way, students, teacher):
    for z in students:
        z.grad = None
    WAYS[way](students, teacher).backward()


def synchronize(device) -> None:
    if device == 'cuda':
        torch.cuda.synchronize()


def seconds(way, students, teacher, device, repeats) -> float:
    # On the CPU processor time, which other work disturbs less.
    clock = time.perf_counter if device == 'cuda' else time.process_time
    synchronize(device)
    start = clock()
    for _ in range(repeats):
        step(way, students, teacher)
    synchronize(device)
    return (clock() - start) / repeats


def memory(way, students, teacher, device) -> int:
    for z in students:
        z.grad = None
    if device == 'cuda':
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step(way, students, teacher)
        return torch.cuda.max_memory_allocated() - before
    with Peak() as peak:
        step(way, students, teacher)
    return peak.most


def measure(n, c, b, device, rounds) -> dict:
    generator = torch.Generator().manual_seed(0)
    students = [
        torch.randn(b, c, generator=generator).to(device).requires_grad_()
        for _ in range(n)
    ]
    teacher = torch.randn(b, c, generator=generator).to(device)
    ways = list(WAYS)
    copies = sum(z.numel() * z.element_size() for z in students)
    result = dict(N=n, C=c, B=b, device=device)
    for way in ways:
        peak = memory(way, students, teacher, device)
        result[f'{way}_copies'] = round(peak / copies, 2)
    once = seconds('kl', students, teacher, device, 1)
    repeats = max(1, min(50, int(0.05 / max(once, 1e-6))))
    times = {way: [] for way in ways}
    for _ in range(rounds):
        for way in ways:
            times[way].append(seconds(way, students, teacher, device, repeats))
    for way in ways:
        result[f'{way}_ms'] = round(1e3 * statistics.median(times[way]), 3)
    for way in ways[1:]:
        ratios = [a / b for a, b in zip(times['dckd'], times[way])]
        result[f'to_{way}'] = round(statistics.median(ratios), 3)
    return result


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--students',
        type=int,
        nargs='+',
        default=[2, 4, 8, 16],
        help='the numbers of students, 2 or more: one has no peer',
    )
    parser.add_argument(
        '--classes', type=int, nargs='+', default=[10, 100, 1000, 21841]
    )
    parser.add_argument('--batch-size', type=int, default=256)
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--out', help='a file of JSON lines')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    print(
        '|  N |     C | dckd ms | / N KL | / pairwise | dckd copies |'
        ' N KL copies | pairwise copies |'
    )
    print(
        '| -: | ----: | ------: | -----: | ---------: | ----------: |'
        ' ----------: | --------------: |'
    )
    for c, n in product(args.classes, args.students):
        r = measure(n, c, args.batch_size, args.device, args.rounds)
        print(
            f'| {n:2} | {c:5} | {r["dckd_ms"]:7.2f} | {r["to_kl"]:6.2f} | '
            f'{r["to_pairwise"]:10.2f} | {r["dckd_copies"]:11.2f} | '
            f'{r["kl_copies"]:11.2f} | {r["pairwise_copies"]:15.2f} |',
            flush=True,
        )
        if args.out:
            with open(args.out, 'a') as file:
                file.write(json.dumps(dict(r, threads=args.threads)) + '\n')


if __name__ == '__main__':
    main()
