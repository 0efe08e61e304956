# Copyright (c) mmdckd contributors. All rights reserved.
"""Prepares the toolbox at its first use.

Importing mmdckd makes the toolbox importable and registers the components of
mmdckd. Both take seconds, because they import torch and MMRazor, and the
``--help`` of a command needs neither. So ``import mmdckd`` prepares at once
where a package of the toolbox has been imported before; otherwise it waits,
and the first import of such a package, or of a module of mmdckd that needs
it, prepares before it goes on.
"""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Optional, Sequence

from . import compat

TOOLBOX = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmpretrain', 'mmrazor')
#: The modules of mmdckd that need no toolbox by themselves.
LIGHT = ('__main__', 'cli', 'compat', 'console', 'version')


def watch() -> None:
    """Prepare now or at the first use."""
    if any(name in sys.modules for name in TOOLBOX):
        prepare()
    elif _first_use not in sys.meta_path:
        sys.meta_path.insert(0, _first_use)


def prepare() -> None:
    """Make the toolbox importable and its loading safe, and register what
    mmdckd brings."""
    if _first_use in sys.meta_path:
        sys.meta_path.remove(_first_use)
    try:
        compat.apply()
        import_module('mmdckd.io.loading').apply()
        import_module('mmdckd.registry')
        import_module('mmdckd.io.shipped_configs').register()
    except BaseException:
        # The next import fails in the same way, and not in a stranger one.
        sys.meta_path.insert(0, _first_use)
        raise


class _FirstUse(MetaPathFinder):
    """Finds modules as usual, and prepares before the first one is loaded."""

    def find_spec(
        self,
        fullname: str,
        path: Optional[Sequence[str]] = None,
        target: Optional[ModuleType] = None,
    ) -> Optional[ModuleSpec]:
        top, *below = fullname.split('.')
        if not (fullname in TOOLBOX or top == 'mmdckd' and below[0] not in LIGHT):
            return None
        for finder in sys.meta_path:
            spec = finder is not self and finder.find_spec(fullname, path, target)
            if spec:
                spec.loader = _PreparingLoader(spec.loader)
                return spec
        return None


class _PreparingLoader(Loader):
    """Prepares before it loads a module.

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
        # Preparing has imported it: it is not executed again.
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


_first_use = _FirstUse()
