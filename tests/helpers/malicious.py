# Copyright (c) mmdckd contributors. All rights reserved.
"""Files that would run code when they are loaded."""

from pathlib import Path

import torch

from helpers.runs import run_config, train


class Command:
    """Leaves a trace where it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


def train_once(folder):
    """A run of one epoch, with a checkpoint."""
    cfg = run_config(folder)
    cfg.train_cfg.max_epochs = 1
    return train(cfg)


def with_command(runner, trace):
    """A sound checkpoint of a run, with a command in it, beside its trace."""
    path = Path(runner.work_dir) / 'epoch_1.pth'
    content = torch.load(path, weights_only=True)
    bad = trace.with_name('bad.pth')
    torch.save(dict(content, extra=Command(trace)), bad)
    return str(bad)
