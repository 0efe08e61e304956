# Copyright (c) mmdckd contributors. All rights reserved.
"""Time functions to compare, and write the results immediately."""

import json
import statistics
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import torch

#: The shortest duration of a timing in seconds, and the fewest calls in it:
#: several steps in a row keep work queued on the device, as in a training.
WINDOW = dict(cuda=0.1, cpu=0.0)
CALLS = dict(cuda=6, cpu=1)


class Context:
    """The settings of a part of the study.

    Args:
        part (str): The name of the part.
        device (str): 'cuda' or 'cpu'.
        seconds (float): The time it has.
        file (Path): The JSON lines of the study.
        folder (Path): A folder for temporary files.
        mini (bool): Whether everything is as small as possible. Defaults to
            False.
    """

    def __init__(
        self,
        part: str,
        device: str,
        seconds: float,
        file: Path,
        folder: Path,
        mini: bool = False,
    ) -> None:
        self.part = part
        self.device = device
        self.file = file
        self.folder = folder
        self.mini = mini
        self.start = time.monotonic()
        self.seconds = seconds

    @property
    def left(self) -> float:
        """float: The remaining seconds."""
        return self.start + self.seconds - time.monotonic()

    @property
    def cuda(self) -> bool:
        """bool: Whether it runs on a GPU."""
        return self.device == 'cuda'

    def synchronize(self) -> None:
        """Synchronize the device."""
        if self.cuda:
            torch.cuda.synchronize()

    def write(self, what: str, **values: Any) -> None:
        """Append a line of JSON, and flush it to the disk."""
        line = json.dumps(
            dict(
                part=self.part,
                what=what,
                at=round(self.seconds - self.left, 1),
                **values,
            )
        )
        print(line, flush=True)
        with open(self.file, 'a', encoding='utf-8') as file:
            file.write(line + '\n')

    def known(self, what: str, **values: Any) -> Optional[dict]:
        """Return the last line about an earlier measurement."""
        found = None
        if self.file.is_file():
            for text in self.file.read_text(encoding='utf-8').splitlines():
                line = json.loads(text)
                if line['what'] == what and values.items() <= line.items():
                    found = line
        return found


def once(context: Context, step: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    context.synchronize()
    start = time.perf_counter()
    step()
    context.synchronize()
    return time.perf_counter() - start


def alternate(
    context: Context,
    ways: Dict[str, Callable[[], object]],
    rounds: int = 7,
    seconds: float = 1e9,
    warm_up: int = 3,
) -> Dict[str, List[float]]:
    """Time functions one after the other, round by round.

    Every other round runs in reverse order, so that no function always follows
    the same one. On a GPU, several calls in a row are timed together.

    Args:
        context (Context): The settings.
        ways (Dict[str, Callable]): Name to function.
        rounds (int): The largest number of rounds. Defaults to 7.
        seconds (float): The time limit; at least one round is timed. Defaults to
            the limit of the context.
        warm_up (int): The number of earlier calls that are not timed. Defaults
            to 3.

    Returns:
        Dict[str, List[float]]: Name to the seconds of a call in each round.
    """
    end = time.monotonic() + min(seconds, context.left)
    calls = {}
    for name, way in ways.items():
        for _ in range(max(1, warm_up) if context.cuda else 1):
            way()
        duration = once(context, way)
        window = WINDOW[context.device]
        fewest = CALLS[context.device]
        calls[name] = max(fewest, min(50, round(window / duration)))
    taken: Dict[str, List[float]] = {name: [] for name in ways}
    for number in range(rounds):
        if number and time.monotonic() > end:
            break
        for name in sorted(ways, reverse=number % 2 == 1):

            def several(way=ways[name], number=calls[name]) -> None:
                for _ in range(number):
                    way()

            taken[name].append(once(context, several) / calls[name])
    return taken


def milliseconds(seconds: List[float]) -> float:
    """Return the median in milliseconds."""
    return round(1e3 * statistics.median(seconds), 4)


def ratio(seconds: List[float], others: List[float]) -> float:
    """Return the median of the ratios of the rounds."""
    return round(statistics.median(a / b for a, b in zip(seconds, others)), 4)


def peak_mib(context: Context, step: Callable[[], object]) -> Optional[float]:
    """Return the peak memory of a call beyond the memory used before it."""
    if not context.cuda:
        return None
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return round((torch.cuda.max_memory_allocated() - before) / 2**20, 1)
