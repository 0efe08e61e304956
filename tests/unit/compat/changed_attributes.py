# Copyright (c) mmdckd contributors. All rights reserved.
"""What importing mmdckd changes in modules of others, as JSON.

Run as a script. It imports the toolbox, which takes the remedies that make it
importable, notes every attribute of every module and class, imports the whole
of mmdckd, and compares.
"""

import importlib.util
import json
import sys
import types
import warnings
from importlib import import_module
from pathlib import Path

warnings.simplefilter('ignore')
ROOT = Path(__file__).parents[3]
PACKAGES = ('mmcv', 'mmengine', 'mmpretrain', 'mmrazor', 'torch', 'torchvision')
TOOLBOX = """
torch torch.distributed torch.optim torch.utils.data torch.amp
mmengine.config mmengine.dist mmengine.evaluator mmengine.fileio mmengine.hooks
mmengine.hub mmengine.logging mmengine.model mmengine.optim mmengine.registry
mmengine.runner mmengine.runner.amp mmengine.visualization mmengine._strategy
mmcv.transforms mmpretrain.apis mmpretrain.datasets mmpretrain.engine
mmpretrain.evaluation mmpretrain.models mmpretrain.models.peft mmpretrain.structures
mmpretrain.visualization mmrazor.datasets mmrazor.engine mmrazor.implementations
mmrazor.models mmrazor.registry mmrazor.structures mmrazor.utils
"""
CONTAINERS = dict, list, set


def attributes():
    """Place of an attribute to its value, of containers a copy."""
    found = {}
    for name, module in sorted(sys.modules.items()):
        if module is None or name.split('.')[0] not in PACKAGES:
            continue
        for key, value in list(vars(module).items()):
            if key.startswith('__') or isinstance(value, types.ModuleType):
                continue
            note(found, f'{name}:{key}', value)
            if isinstance(value, Registry):
                for inner, part in list(vars(value).items()):
                    note(found, f'registry:{value.scope}::{value.name}.{inner}', part)
            if isinstance(value, type) and value.__module__ == name:
                for inner, part in list(vars(value).items()):
                    note(found, f'{name}:{key}.{inner}', part)
                note(found, f'{name}:{key}.__bases__', list(value.__bases__))
    return found


def note(found, place, value):
    found[place] = value.copy() if type(value) in CONTAINERS else value


def same(one, other):
    if one is other:
        return True
    if type(one) is not type(other) or type(one) not in CONTAINERS:
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(one[k] is other[k] for k in one)
    return len(one) == len(other) and all(a is b for a, b in zip(one, other))


spec = importlib.util.spec_from_file_location('mmdckd', ROOT / 'mmdckd' / '__init__.py')
mmdckd = sys.modules['mmdckd'] = importlib.util.module_from_spec(spec)
compat = import_module('mmdckd.compat')
compat.torchvision_operators()
compat.mmcv_version()
compat.quantization_import()
from mmengine.registry import Registry  # noqa: E402

for module in TOOLBOX.split():
    import_module(module)
before = attributes()
spec.loader.exec_module(mmdckd)
for module in 'models engine evaluation datasets export inference'.split():
    import_module(f'mmdckd.{module}')
after = attributes()
# What is new in a module that was not imported before has changed nothing.
known = {place.partition(':')[0] for place in before}
nothing = object()
print(
    json.dumps(
        [
            place
            for place in before.keys() | after.keys()
            if place.partition(':')[0] in known
            and not same(before.get(place, nothing), after.get(place, nothing))
        ]
    )
)
