# Copyright (c) mmdckd contributors. All rights reserved.
"""Train, test and write the result of one run of a sweep.

``python -m mmdckd.sweep.worker CONFIG RESULT`` runs a config that
``tools/sweep.py`` has completed.
"""

import argparse
import importlib
import json
import os
import os.path as osp
import threading
import time
from functools import partial
from typing import Any, Dict, List, Optional

import torch
from filelock import FileLock
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.utils import get_git_hash

from mmdckd.engine.dataloaders import set_all_dataloader_defaults
from mmdckd.engine.repeated_work import spare_repeated_work
from mmdckd.engine.runner.phases import Phase, phases_of, train_phases
from mmdckd.engine.unwrapping import unwrapped
from mmdckd.evaluation.best_rule import is_number
from mmdckd.io.data import read_json
from mmdckd.io.files import write_text

from .cost import StepCostHook
from .progress import ProgressFileHook
from .validation_curves import CurvesHook, curves_of, epochs_of, validation_of

#: The file, in the folder of the run, with the cost of the training.
_COST = 'cost.json'
PACKAGES = ('mmdckd', 'torch', 'mmengine', 'mmpretrain', 'mmrazor')


def run(cfg: Config, progress_file: str) -> Dict[str, Any]:
    """Train, then test the last epoch and the epoch that was best in validation.

    Args:
        cfg (Config): The config of the run.
        progress_file (str): The file for the progress.

    Returns:
        Dict[str, Any]: The entries that :mod:`.results` describes, from
        ``students`` on.
    """
    start = time.perf_counter()
    train = partial(_train, progress_file=progress_file, parts=_parts(phases_of(cfg)))
    runner = train_phases(cfg, train)
    seconds = time.perf_counter() - start

    best_file = runner.message_hub.get_info('best_ckpt')
    last = dict(
        epoch=int(epochs_of(runner, runner.iter)),
        val=validation_of(runner.message_hub),
        test=_test(runner),
    )
    best = None
    if best_file is not None:
        checkpoint = runner.load_checkpoint(best_file)
        hub = MessageHub.get_instance(f'{runner.experiment_name}_best')
        hub.load_state_dict(checkpoint['message_hub'])
        best = dict(
            epoch=int(epochs_of(runner, checkpoint['meta']['iter'])),
            val=validation_of(hub),
            test=_test(runner),
        )

    model = unwrapped(runner.model)
    cohort = dict(model.cohort.items()) if hasattr(model, 'cohort') else {}
    first = next(iter(cohort.values()), getattr(model, 'architecture', model))
    return dict(
        students=list(cohort),
        last=last,
        best=best,
        curves=curves_of(runner.message_hub),
        parameters=sum(p.numel() for p in first.parameters()),
        # A resumed run does not know the time before it was interrupted.
        train_seconds=None if cfg.resume else seconds,
        train_flops=_read_cost(phases_of(cfg)),
        test_is_val=_test_is_val(cfg),
        device=_device(),
        threads=torch.get_num_threads(),
        resumed=cfg.resume,
        versions={name: importlib.import_module(name).__version__ for name in PACKAGES},
        commit=get_git_hash(digits=8),
    )


def _parts(phases: List[Phase]) -> Dict[str, Dict[str, float]]:
    """Return, by work folder, the part of the run ``before`` each phase, and its own
    ``share``. Phases that are not counted in the same unit have equal shares."""
    lengths: List[Any] = [1] * len(phases)
    loops = [phase.config.get('train_cfg') or {} for phase in phases]
    for unit in ('max_epochs', 'max_iters'):
        given: List[Any] = [loop.get(unit) for loop in loops]
        if all(is_number(length) and length > 0 for length in given):
            lengths = given
    shares = [length / sum(lengths) for length in lengths]
    return {
        phase.config.work_dir: dict(before=sum(shares[:index]), share=shares[index])
        for index, phase in enumerate(phases)
    }


def _train(
    cfg: Config, progress_file: str, parts: Dict[str, Dict[str, float]]
) -> Runner:
    """Train a phase, and write its cost to its folder."""
    set_all_dataloader_defaults(cfg)  # a phase can change them
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)
    cost = StepCostHook()
    runner.register_hook(cost)
    runner.register_hook(CurvesHook())
    runner.register_hook(ProgressFileHook(progress_file, **parts[cfg.work_dir]))
    runner.train()
    if cost.flops is not None:  # a run that is resumed at its end makes no step
        note = dict(train_flops=cost.flops * runner.iter)
        write_text(osp.join(cfg.work_dir, _COST), json.dumps(note))
    return runner


def _read_cost(phases: List[Phase]) -> Optional[int]:
    """Return the operations of all phases; None if one was not counted."""
    paths = [osp.join(phase.config.work_dir, _COST) for phase in phases]
    if not all(map(osp.isfile, paths)):
        return None
    return sum(read_json(path, 4096)['train_flops'] for path in paths)


def _test(runner: Runner) -> Dict[str, float]:
    """Test without ``Runner.test``, which starts hooks anew: MMEngine's ``EMAHook``
    would forget its averages."""
    metrics = runner.test_loop.run()
    return {key: float(value) for key, value in metrics.items() if is_number(value)}


def _test_is_val(cfg: Config) -> bool:
    """Tell whether validation and test use the same images."""
    val = cfg.get('val_dataloader')
    return val is not None and val.dataset == cfg.test_dataloader.dataset


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else 'cpu'


def _end_with_parent() -> None:
    """End this process when the process that holds its standard input ends."""

    def wait() -> None:
        # sys.stdin has a lock, which would still be held when this process ends.
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main(argv: Optional[List[str]] = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('config', help='the completed config of the run')
    parser.add_argument('result', help='the file to write the result to')
    parser.add_argument(
        '--progress', required=True, help='the file to write progress to'
    )
    parser.add_argument('--lock', required=True, help='the file to lock during the run')
    parser.add_argument(
        '--end-with-stdin', action='store_true', help='end when the standard input ends'
    )
    args = parser.parse_args(argv)
    if args.end_with_stdin:
        _end_with_parent()
    spare_repeated_work()
    with FileLock(args.lock):
        # A job that was submitted twice, by a sweep that was killed and the next
        # one, waits for the other one and leaves its result alone.
        if not osp.isfile(args.result):
            result = run(Config.fromfile(args.config), args.progress)
            write_text(args.result, json.dumps(result))


if __name__ == '__main__':
    main()
