# Copyright (c) mmdckd contributors. All rights reserved.
"""The registries of mmdckd.

Each is a child of MMEngine's and a twin of MMRazor's: what is registered here
once is found as ``mmdckd.X`` under any scope, and as plain ``X`` under the
scopes ``mmdckd`` and ``mmrazor``.
"""
from typing import Callable, List, Optional, Type, Union

from mmengine.registry import Registry
from mmrazor import registry as mmrazor


class TwinRegistry(Registry):
    """A registry whose components are MMRazor's as well.

    Args:
        twin (Registry): The registry of MMRazor for the same kind of
            components.
        locations (list[str]): The modules that register components here.
    """

    def __init__(self, twin: Registry, locations: List[str]) -> None:
        super().__init__(
            twin.name, parent=twin.parent, scope='mmdckd', locations=locations)
        self.twin = twin

    def get(self, key: str) -> Optional[Type]:
        """Find a component; without a scope, MMRazor's are found too."""
        self.import_from_location()
        registry = super() if '.' in key else self.twin
        return registry.get(key)

    def _register_module(self,
                         module: Callable,
                         module_name: Union[str, List[str], None] = None,
                         force: bool = False) -> None:
        self.twin._register_module(module, module_name, force)
        super()._register_module(module, module_name, force)


#######################################################################
#                            mmdckd.models                            #
#######################################################################

# algorithms, cohorts, distillers, losses, collectors and networks
MODELS = TwinRegistry(mmrazor.MODELS, ['mmdckd.models'])
# modules that serve a model without being one
TASK_UTILS = TwinRegistry(mmrazor.TASK_UTILS, ['mmdckd.models'])

#######################################################################
#                           mmdckd.datasets                           #
#######################################################################

# datasets like `Digits`
DATASETS = TwinRegistry(mmrazor.DATASETS, ['mmdckd.datasets'])
# samplers of a dataset
DATA_SAMPLERS = TwinRegistry(mmrazor.DATA_SAMPLERS, ['mmdckd.datasets'])
# transforms of a sample
TRANSFORMS = TwinRegistry(mmrazor.TRANSFORMS, ['mmdckd.datasets'])

#######################################################################
#                            mmdckd.engine                            #
#######################################################################

# loops like `CollectiveValLoop`
LOOPS = TwinRegistry(mmrazor.LOOPS, ['mmdckd.engine'])
# hooks like the one that exports the students
HOOKS = TwinRegistry(mmrazor.HOOKS, ['mmdckd.engine'])
# optimizer wrappers
OPTIM_WRAPPERS = TwinRegistry(mmrazor.OPTIM_WRAPPERS, ['mmdckd.engine'])
# visualizers
VISUALIZERS = TwinRegistry(mmrazor.VISUALIZERS, ['mmdckd.engine'])
# visualizer backends
VISBACKENDS = TwinRegistry(mmrazor.VISBACKENDS, ['mmdckd.engine'])

#######################################################################
#                          mmdckd.evaluation                          #
#######################################################################

# metrics
METRICS = TwinRegistry(mmrazor.METRICS, ['mmdckd.evaluation'])
