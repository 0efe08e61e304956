# Copyright (c) mmdckd contributors. All rights reserved.
"""Spend no time on what no test is about."""

import functools
import gc


def do_once():
    """Keep what each run would find out anew: the versions of the compiler, the
    digits, and what a command keeps."""
    import mmengine.runner.runner
    import sklearn.datasets

    from mmdckd.engine.repeated_work import spare_repeated_work

    for module, name in (
        (mmengine.runner.runner, 'collect_env'),
        (sklearn.datasets, 'load_digits'),
    ):
        setattr(module, name, functools.cache(getattr(module, name)))
    spare_repeated_work()


def freeze():
    """Leave what is imported to no more garbage collections: MMEngine collects
    for each dataset, among the millions of objects of the toolbox."""
    gc.collect()
    gc.freeze()
