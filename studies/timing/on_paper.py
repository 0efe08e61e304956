# Copyright (c) mmdckd contributors. All rights reserved.
"""Print what a process sends and holds, for `model.parallel='data'` and
`'cohort'`, from the formulas below. tests/studies/test_on_paper.py compares
them with counted bytes.

W processes train N students of P parameters on B images a step, with K classes.
With `'cohort'`, C = min(N, W) groups of D = W / C processes hold N / C students
each. Numbers have 4 bytes. An all-reduce of x bytes over n processes sends
2 (n - 1) / n x from each, an all-gather of x bytes from each sends (n - 1) x.
"""

from typing import Dict, Tuple

#: Millions of parameters.
NETWORKS: Dict[str, float] = {
    'ResNet-18': 11.69,
    'ResNet-50': 25.56,
    'ViT-B/16': 86.57,
    'ViT-L/16': 304.33,
}
BYTES = 4
PER_PROCESS, CLASSES = 32, 1000


def groups(processes: int, students: int) -> Tuple[int, int]:
    """Return C and D."""
    cohort = min(processes, students)
    return cohort, processes // cohort


def sent_by_data(processes: int, students: int, parameters: float) -> float:
    """Bytes that a process sends in a step: the gradients of all students."""
    return 2 * (processes - 1) / processes * BYTES * students * parameters


def sent_by_cohort(
    processes: int, students: int, parameters: float, images: float, classes: int
) -> float:
    """Bytes that a process sends in a step: the logits of its students and of
    its share of the teacher's, and the gradients of its students."""
    cohort, data = groups(processes, students)
    logits = images / data * classes * (students + 1) / cohort
    gradients = 2 * (data - 1) / data * students / cohort * parameters
    return BYTES * ((cohort - 1) * logits + gradients)


def crossover(processes: int, students: int, parameters: float, classes: int) -> float:
    """Images a step up to which `'cohort'` sends less."""
    gradients = sent_by_cohort(processes, students, parameters, 0, classes)
    each = sent_by_cohort(processes, students, parameters, 1, classes) - gradients
    return (sent_by_data(processes, students, parameters) - gradients) / each


def held(processes: int, students: int, parameters: float, parallel: str) -> float:
    """Bytes of weights, gradients and momentum in a process."""
    cohort, _ = groups(processes, students)
    own = students / cohort if parallel == 'cohort' else students
    return 3 * BYTES * own * parameters


def main() -> None:
    print('| network | N | W | held, GB | sent, MB | crossover, images per process |')
    print('| --- | -: | -: | ---: | ---: | ---: |')
    for name, millions in NETWORKS.items():
        size = millions * 1e6
        for students, processes in ((2, 8), (4, 8), (8, 8), (16, 64), (16, 512)):
            images = PER_PROCESS * processes
            both = [held(processes, students, size, way) for way in ('data', 'cohort')]
            sent = (
                sent_by_data(processes, students, size),
                sent_by_cohort(processes, students, size, images, CLASSES),
            )
            most = crossover(processes, students, size, CLASSES) / processes
            print(
                f'| {name} | {students} | {processes} '
                f'| {both[0] / 1e9:.2f} / {both[1] / 1e9:.2f} '
                f'| {sent[0] / 1e6:,.0f} / {sent[1] / 1e6:,.0f} '
                f'| {most:,.0f} |'
            )


if __name__ == '__main__':
    main()
