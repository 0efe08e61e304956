# Copyright (c) mmdckd contributors. All rights reserved.
import copy
import logging
import os.path as osp
from tempfile import TemporaryDirectory

from mmengine.config import Config

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
    with TemporaryDirectory() as folder:
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
        for handler in list(runner.logger.handlers):
            if isinstance(handler, logging.FileHandler):
                handler.close()
