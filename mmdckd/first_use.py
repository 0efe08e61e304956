# Copyright (c) mmdckd contributors. All rights reserved.
"""Prepares the toolbox on first use.

Importing mmdckd makes the toolbox importable and registers mmdckd's
components. Both import torch and MMRazor, which takes seconds that the
``--help`` of a command does not need. So ``import mmdckd`` prepares at once
only if a package of the toolbox has been imported already. Otherwise the first
import of such a package, or of a module of mmdckd that needs it, prepares.
"""

import gc
import sys
from contextlib import contextmanager
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Iterator, Optional, Sequence

from . import compat

TOOLBOX = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain', 'mmrazor')
#: The modules of mmdckd that do not need the toolbox.
LIGHT = ('__main__', 'cli', 'compat', 'console', 'errors', 'version')


def watch() -> None:
    """Prepare now if the toolbox is imported, otherwise on first use."""
    if any(name in sys.modules for name in TOOLBOX):
        prepare()
    elif _first_use not in sys.meta_path:
        sys.meta_path.insert(0, _first_use)


def prepare() -> None:
    """Make the toolbox importable and its loading safe, and register mmdckd's
    components."""
    if _first_use in sys.meta_path:
        sys.meta_path.remove(_first_use)
    try:
        with no_collections():
            compat.apply()
            import_module('mmdckd.io.loading').apply()
            import_module('mmdckd.registry')
            import_module('mmdckd.io.shipped_configs').register()
    except BaseException:
        # So that the next import raises the same error.
        sys.meta_path.insert(0, _first_use)
        raise


@contextmanager
def no_collections() -> Iterator[None]:
    """Collect no garbage: imports make hardly any, and looking for it among all
    objects of the packages takes a sixth of their time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _FirstUse(MetaPathFinder):
    """Finds modules as usual and prepares before the first one is loaded."""

    def find_spec(
        self,
        fullname: str,
        path: Optional[Sequence[str]] = None,
        target: Optional[ModuleType] = None,
    ) -> Optional[ModuleSpec]:
        top, *below = fullname.split('.')
        # Reloading mmdckd itself looks for it again.
        heavy = top == 'mmdckd' and below and below[0] not in LIGHT
        if fullname not in TOOLBOX and not heavy:
            return None
        for finder in sys.meta_path:
            spec = finder is not self and finder.find_spec(fullname, path, target)
            if spec:
                spec.loader = _PreparingLoader(spec.loader)
                return spec
        return None


class _PreparingLoader(Loader):
    """Prepares before it loads a module, then hands over to the real loader.

    Args:
        loader (Loader): The loader of the module.
    """

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._spec: Optional[ModuleSpec] = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> Optional[ModuleType]:
        prepare()
        module = sys.modules.get(spec.name)
        if module is None:
            spec.loader = self._loader
            return self._loader.create_module(spec)
        # Preparing imported it already: do not execute it again.
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


_first_use = _FirstUse()
