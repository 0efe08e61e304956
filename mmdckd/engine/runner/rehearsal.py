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
from mmengine.visualization import Visualizer

from .building import build_runner


def rehearse(cfg: Config) -> None:
    """Build all parts of a run, so that a mistake in its settings is found
    before the trainings that it depends on.

    Nothing is trained, and no files remain.

    Args:
        cfg (Config): The config of the run. The weights of a teacher or of
            finished peers may be missing.

    Raises:
        Exception: Whatever the run itself would raise.
    """
    cfg = copy.deepcopy(cfg)
    with TemporaryDirectory() as folder, _no_new_globals():
        # A unique name, because MMEngine shares the logs of runs with one name.
        cfg.experiment_name = osp.basename(folder)
        cfg.update(work_dir=folder, visualizer=None, log_level='ERROR', resume=False)
        cfg.load_from = None
        cfg.model.allow_random_teacher = True
        runner = build_runner(cfg)
        runner.build_train_loop(cfg.train_cfg)
        optimizer = runner.build_optim_wrapper(cfg.optim_wrapper)
        runner.optim_wrapper = optimizer  # what schedulers are built for
        if cfg.get('param_scheduler') is not None:
            runner.build_param_scheduler(cfg.param_scheduler)


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
