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
    """Build all that a run consists of, so that a fault in its settings is
    found before what it waits for is trained.

    Nothing is trained, and nothing is left on the disk.

    Args:
        cfg (Config): The config of the run. Weights of a teacher or of
            finished peers may be missing.

    Raises:
        Exception: What the run itself would raise.
    """
    cfg = copy.deepcopy(cfg)
    with TemporaryDirectory() as folder, _no_new_globals():
        # A name of its own: MMEngine shares the logs of runs of one name.
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
    """What MMEngine shares by name, such as loggers, is afterwards what it was.

    The latest of them is the one that everything built without a runner uses.
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
