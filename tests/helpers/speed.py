# Copyright (c) mmdckd contributors. All rights reserved.
"""Spend no time on what no test is about."""

import functools
import gc


def do_once():
    """Keep what each run would find out anew: the versions of the compiler,
    the digits, and what yapf makes of a config, which MMEngine formats eight
    times a run."""
    import mmengine.runner.runner
    import sklearn.datasets
    from yapf.yapflib import yapf_api

    cached = functools.lru_cache(maxsize=64)
    for module, name in (
        (mmengine.runner.runner, 'collect_env'),
        (sklearn.datasets, 'load_digits'),
    ):
        setattr(module, name, cached(getattr(module, name)))

    format_code = yapf_api.FormatCode
    formatted = cached(lambda text, style: format_code(text, style_config=dict(style)))
    yapf_api.FormatCode = lambda text, style_config: formatted(
        text, tuple(style_config.items())
    )


def freeze():
    """Leave what is imported to no more garbage collections: MMEngine collects
    for each dataset, among the millions of objects of the toolbox."""
    gc.collect()
    gc.freeze()
