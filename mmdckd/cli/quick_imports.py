# Copyright (c) mmdckd contributors. All rights reserved.
"""Imports the toolbox in less time, in the process of a command."""

import sys
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, Dict, Iterator

from ..first_use import no_collections

#: What MMRazor imports from optional packages, for one distiller and for
#: architecture search. Both imports are slow, and most runs need neither.
_LATER = {'scipy.stats': 'norm', 'sklearn.tree': 'DecisionTreeRegressor'}


def import_toolbox() -> None:
    """Import OpenMMLab's packages and mmdckd, without what few runs use.

    What MMRazor imports from SciPy and scikit-learn is imported when it is used.
    """
    with no_collections():
        import_module('mmpretrain.models')
        with _late_modules(_LATER):
            import_module('mmrazor.models')
        import_module('mmdckd.engine')


@contextmanager
def _late_modules(names: Dict[str, str]) -> Iterator[None]:
    """Let what is imported in this context get modules that load on first use.

    Args:
        names (Dict[str, str]): Each module, and the one name in it that can be
            imported without loading the module.
    """
    for module, name in names.items():
        if module not in sys.modules and find_spec(module.partition('.')[0]):
            sys.modules[module] = _LateModule(module, name)
    try:
        yield
    finally:
        for module in names:
            _forget(module)


class _LateModule(ModuleType):
    """Loads a module when one of its attributes is used."""

    def __init__(self, module: str, late_name: str) -> None:
        super().__init__(module)
        self._late_name = late_name

    def __getattr__(self, name: str) -> Any:
        if name.startswith('__'):  # the import system asks, nobody uses it
            raise AttributeError(name)
        if name == self._late_name:
            return _LateName(self.__name__, name)
        return getattr(_load(self.__name__), name)


class _LateName:
    """Loads a module when one of its functions or objects is used."""

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return getattr(_load(self._module), self._name)(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(_load(self._module), self._name), name)


def _load(module: str) -> ModuleType:
    _forget(module)
    return import_module(module)


def _forget(module: str) -> None:
    if isinstance(sys.modules.get(module), _LateModule):
        del sys.modules[module]
