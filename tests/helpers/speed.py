# Copyright (c) mmdckd contributors. All rights reserved.
"""Spend no time on what no test is about."""

import functools
import gc


def do_once():
    """Keep what each run would find out anew: the versions of the compiler,
    the digits, MMPretrain's metafiles, all of which MMEngine reads for each
    ``mmpretrain::`` in a config, and what yapf makes of a config, which MMEngine
    formats eight times a run."""
    import mmengine.config.utils
    import mmengine.runner.runner
    import sklearn.datasets
    from yapf.yapflib import yapf_api

    for module, name in (
        (mmengine.runner.runner, 'collect_env'),
        (sklearn.datasets, 'load_digits'),
        (mmengine.config.utils, 'load'),
    ):
        setattr(module, name, functools.cache(getattr(module, name)))

    format_code = yapf_api.FormatCode
    formatted = functools.lru_cache(maxsize=64)(
        lambda text, style: format_code(text, style_config=dict(style))
    )
    yapf_api.FormatCode = lambda text, style_config: formatted(
        text, tuple(style_config.items())
    )


def freeze():
    """Leave what is imported to no more garbage collections: MMEngine collects
    for each dataset, among the millions of objects of the toolbox."""
    gc.collect()
    gc.freeze()
