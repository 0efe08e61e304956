# Copyright (c) mmdckd contributors. All rights reserved.
"""Spend no time on what no test is about."""

import contextlib
import functools
import gc
from unittest import mock


def do_once():
    """Keep what each run would find out anew: the versions of the compiler, and
    what a command keeps."""
    from mmengine.runner import runner

    from mmdckd.engine.repeated_work import spare_repeated_work

    runner.collect_env = functools.cache(runner.collect_env)
    spare_repeated_work()


@contextlib.contextmanager
def rough_figures():
    """Draw figures small and without a layout, which takes most of the time of a
    report."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    from mmdckd.visualization import style

    layout = mock.patch.object(ConstrainedLayoutEngine, 'execute')
    with layout, mock.patch.object(style, 'DPI', 50):
        yield


def freeze():
    """Leave what is imported to no more garbage collections: MMEngine collects
    for each dataset, among the millions of objects of the toolbox."""
    gc.collect()
    gc.freeze()
