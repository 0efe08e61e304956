# Copyright (c) mmdckd contributors. All rights reserved.
import copy
import logging
import os.path as osp
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.visualization import Visualizer

from mmdckd.models.algorithms import CollectiveDistill
from mmdckd.registry import MODELS

from ..hooks import CheckRunHook
from ..unwrapping import unwrapped
from .building import build_runner


def rehearse(cfg: Config) -> Runner:
    """Build all parts of a run and check its settings, so that a mistake is found
    before the trainings that it depends on.

    Nothing is trained, and no files remain. Hooks with a method ``check_settings``
    take part. Checks that read weights are left to the run itself.

    Args:
        cfg (Config): The config of the run. The weights of a teacher or of
            finished peers may be missing.

    Returns:
        Runner: The runner that was built.

    Raises:
        Exception: Whatever the run itself would raise there.
    """
    cfg = copy.deepcopy(cfg)
    with TemporaryDirectory() as folder, _no_new_globals():
        # A unique name, because MMEngine shares the logs of runs with one name.
        cfg.experiment_name = osp.basename(folder)
        cfg.update(work_dir=folder, visualizer=None, log_level='ERROR', resume=False)
        cfg.load_from = None
        kind = cfg.model.get('type')
        kind = MODELS.get(kind) if isinstance(kind, str) else kind
        if isinstance(kind, type) and issubclass(kind, CollectiveDistill):
            cfg.model.allow_random_teacher = True
        runner = build_runner(cfg)
        runner._train_loop = runner.build_train_loop(cfg.train_cfg)
        optimizer = runner.build_optim_wrapper(cfg.optim_wrapper)
        runner.optim_wrapper = optimizer  # what schedulers are built for
        if cfg.get('param_scheduler') is not None:
            schedulers = runner.build_param_scheduler(cfg.param_scheduler)
            runner.param_schedulers = schedulers
        if cfg.get('val_cfg') is not None:
            runner._val_loop = runner.build_val_loop(cfg.val_cfg)
        _check(runner)
    return runner


def _check(runner: Runner) -> None:
    """Call the hooks that check settings, without the weights of one network,
    which an earlier phase may still have to train."""
    distills = isinstance(unwrapped(runner.model), CollectiveDistill)
    for hook in runner.hooks:
        check = getattr(hook, 'check_settings', None)
        if check is not None and (distills or not isinstance(hook, CheckRunHook)):
            check(runner)


@contextmanager
def _no_new_globals() -> Iterator[None]:
    """Remove the new objects that MMEngine shares by name, such as loggers.

    The latest of them is used by everything that is built without a runner.
    """
    kinds = (MMLogger, MessageHub, Visualizer, DefaultScope)
    before = {kind: set(kind._instance_dict) for kind in kinds}
    try:
        yield
    finally:
        for kind, names in before.items():
            for name in set(kind._instance_dict) - names:
                instance = kind._instance_dict.pop(name)
                for handler in getattr(instance, 'handlers', ()):
                    if isinstance(handler, logging.FileHandler):
                        handler.close()
