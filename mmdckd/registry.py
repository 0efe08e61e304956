# Copyright (c) mmdckd contributors. All rights reserved.
"""The registries of mmdckd: children of MMEngine's, twins of MMRazor's.

A component is registered here once and is found in three ways: as
``mmdckd.X`` under any scope, and as plain ``X`` under the scopes ``mmdckd``
and ``mmrazor``. No ``custom_imports`` is needed.

Under the scope ``mmdckd`` the names of MMPretrain and MMRazor are found, too,
because a config inherited by ``_base_ = 'mmdckd::...'`` has this scope.
"""

from importlib import import_module
from typing import Callable, List, Optional, Type, Union

import mmrazor.registry
from mmengine import registry as parents
from mmengine.registry import Registry


class TwinRegistry(Registry):
    """A registry whose components are also in MMRazor's registry.

    Args:
        parent (:obj:`Registry`): MMEngine's registry of the same kind.
        locations (list[str]): The modules whose import registers the
            components.
    """

    def __init__(self, parent: Registry, locations: List[str]) -> None:
        super().__init__(
            parent.name, parent=parent, scope='mmdckd', locations=locations
        )
        self.twin: Optional[Registry] = parent.children.get('mmrazor')
        if self.twin is not None:
            self._lead_here(self.twin)

    def get(self, key: str) -> Optional[Type]:
        """Find a component.

        Args:
            key (str): A name, with or without a scope. Without a scope, mmdckd,
                MMPretrain, MMRazor and MMEngine are searched, in this order.

        Returns:
            type, optional: The component; None if no registry has it.
        """
        if '.' not in key:
            for scope in (self.scope, 'mmpretrain', 'mmrazor'):
                import_module(f'{scope}.registry')
                registry = self.parent.children.get(scope)
                if registry is None:
                    continue
                # MMRazor imports all of its packages, which takes a second.
                if key not in registry.module_dict:
                    registry.import_from_location()
                if key in registry.module_dict:
                    return registry.module_dict[key]
        return super().get(key)

    def _register_module(
        self,
        module: Callable,
        module_name: Union[str, List[str], None] = None,
        force: bool = False,
    ) -> None:
        if self.twin is not None:
            self.twin._register_module(module, module_name, force)
        super()._register_module(module, module_name, force)

    def _lead_here(self, twin: Registry) -> None:
        """Let MMRazor's registry import mmdckd's components after its own."""
        import_theirs = twin.import_from_location

        def import_from_location() -> None:
            import_theirs()
            # MMRazor looks up names while it imports its models, but mmdckd
            # needs them completely imported.
            if hasattr(mmrazor, 'models'):
                self.import_from_location()

        twin.import_from_location = import_from_location  # type: ignore[method-assign]


#######################################################################
#                            mmdckd.models                            #
#######################################################################

# manage networks, algorithms, cohorts, distillers, losses and collectors
MODELS = TwinRegistry(parents.MODELS, ['mmdckd.models'])
# manage wrappers of a model like `MMDistributedDataParallel`
MODEL_WRAPPERS = TwinRegistry(parents.MODEL_WRAPPERS, ['mmdckd.engine'])
# manage weight initialization like `Kaiming`
WEIGHT_INITIALIZERS = TwinRegistry(parents.WEIGHT_INITIALIZERS, ['mmdckd.models'])
# manage helpers of a model, like recorders
TASK_UTILS = TwinRegistry(parents.TASK_UTILS, ['mmdckd.models'])

#######################################################################
#                           mmdckd.datasets                           #
#######################################################################

# manage datasets like `Digits`
DATASETS = TwinRegistry(parents.DATASETS, ['mmdckd.datasets'])
# manage samplers of a dataset like `DefaultSampler`
DATA_SAMPLERS = TwinRegistry(parents.DATA_SAMPLERS, ['mmdckd.datasets'])
# manage transforms of a sample like `PackInputs`
TRANSFORMS = TwinRegistry(parents.TRANSFORMS, ['mmdckd.datasets'])

#######################################################################
#                            mmdckd.engine                            #
#######################################################################

# manage runners like `Runner`
RUNNERS = TwinRegistry(parents.RUNNERS, ['mmdckd.engine'])
# manage constructors of a runner
RUNNER_CONSTRUCTORS = TwinRegistry(parents.RUNNER_CONSTRUCTORS, ['mmdckd.engine'])
# manage loops like `CollectiveValLoop`
LOOPS = TwinRegistry(parents.LOOPS, ['mmdckd.engine'])
# manage hooks like `CheckpointHook`
HOOKS = TwinRegistry(
    parents.HOOKS, ['mmdckd.engine', 'mmdckd.export.export_student_hook']
)
# manage processors of a log like `LogProcessor`
LOG_PROCESSORS = TwinRegistry(parents.LOG_PROCESSORS, ['mmdckd.engine'])
# manage optimizers like `SGD`
OPTIMIZERS = TwinRegistry(parents.OPTIMIZERS, ['mmdckd.engine'])
# manage wrappers of an optimizer like `AmpOptimWrapper`
OPTIM_WRAPPERS = TwinRegistry(parents.OPTIM_WRAPPERS, ['mmdckd.engine'])
# manage constructors of a wrapper like `DefaultOptimWrapperConstructor`
OPTIM_WRAPPER_CONSTRUCTORS = TwinRegistry(
    parents.OPTIM_WRAPPER_CONSTRUCTORS, ['mmdckd.engine']
)
# manage schedulers of a parameter like `MultiStepLR`
PARAM_SCHEDULERS = TwinRegistry(parents.PARAM_SCHEDULERS, ['mmdckd.engine'])
# manage visualizers like `UniversalVisualizer`
VISUALIZERS = TwinRegistry(parents.VISUALIZERS, ['mmdckd.engine'])
# manage backends of a visualizer like `LocalVisBackend`
VISBACKENDS = TwinRegistry(parents.VISBACKENDS, ['mmdckd.engine'])

#######################################################################
#                          mmdckd.evaluation                          #
#######################################################################

# manage metrics like `Accuracy`
METRICS = TwinRegistry(parents.METRICS, ['mmdckd.evaluation'])
# manage evaluators, which hold metrics, like `Evaluator`
EVALUATOR = TwinRegistry(parents.EVALUATOR, ['mmdckd.evaluation'])
