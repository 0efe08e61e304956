# Copyright (c) mmdckd contributors. All rights reserved.
"""The checkpoints of phases before the last one."""

import os.path as osp

from mmengine.config import Config


def save_apart(cfg: Config, run_dir: str) -> None:
    """Save a phase in a folder of its run.

    MMEngine adds only the name of the phase to ``checkpoint.out_dir``, which several
    runs may share.

    Args:
        cfg (Config): The config of the phase, changed in place.
        run_dir (str): The work folder of the run.
    """
    hook = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    folder = hook.get('out_dir')
    if folder and folder != run_dir:
        hook['out_dir'] = osp.join(folder, osp.basename(run_dir.rstrip(osp.sep)))
