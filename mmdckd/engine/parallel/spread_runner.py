# Copyright (c) mmdckd contributors. All rights reserved.
"""A runner whose processes hold different students of a cohort."""

import math
import warnings
from typing import Any, Optional, Type, Union

import torch.distributed as dist
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.device import get_device
from mmengine.dist import get_rank
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper
from mmengine.registry import MODEL_WRAPPERS
from mmengine.runner import Runner
from mmengine.runner.base_loop import BaseLoop
from torch import nn
from torch.utils.data import DataLoader

from mmdckd.errors import invalid
from mmdckd.models.algorithms.spreading import spread
from mmdckd.models.cohorts.cohort_mesh import CohortMesh

from ..unwrapping import unwrapped
from .checks import check_evaluation, check_training
from .whole_gradients import see_all_gradients
from .whole_states import is_meta, whole_states


def is_spread(cfg: Config) -> bool:
    """Return whether the processes of a run are to hold different students."""
    model, launcher = cfg.get('model'), cfg.get('launcher', 'none')
    cohort = isinstance(model, dict) and model.get('parallel') == 'cohort'
    return cohort and launcher != 'none'


def spread_over_processes(kind: Type[Runner]) -> Type[Runner]:
    """Make a runner class whose processes hold different students.

    Args:
        kind (type): MMEngine's ``Runner`` or a subclass.

    Returns:
        type: The class, with the name of ``kind``.

    Raises:
        ValueError: If ``kind`` is no ``Runner``.
    """
    if not issubclass(kind, Runner):
        expected = "Runner, or a subclass, with `model.parallel='cohort'`"
        raise invalid('runner_type', expected, kind.__name__)
    return type(kind.__name__, (_SpreadRunner, kind), {})


class _SpreadRunner:
    """Keeps in each process only its students.

    Optimizers and checkpoints count the parameters of all students, so one
    checkpoint serves any number of processes.
    """

    # Of MMEngine's runner, which this class is mixed into.
    cfg: Config
    model: nn.Module
    optim_wrapper: Any
    _train_loop: Any

    def build_model(self, model: Union[nn.Module, dict]) -> nn.Module:
        """Build and initialize all students, and keep those of this process."""
        model = super().build_model(model)  # type: ignore[misc]
        if self._train_loop is not None:
            # While all are there, and on the device as in one process: each draws
            # random numbers from the same stream.
            model.to(get_device()).init_weights()
        spread(model, CohortMesh(model.cohort.names))
        return model

    def _init_model_weights(self) -> None:
        """Do nothing; :meth:`build_model` has initialized the students."""

    def wrap_model(self, model_wrapper_cfg: Optional[dict], model: Any) -> nn.Module:
        """Average gradients over the processes that hold the same students."""
        default = dict(
            broadcast_buffers=False,
            find_unused_parameters=self.cfg.get('find_unused_parameters', False),
        )
        group = model.exchange.mesh.data
        wrapper = dict(model_wrapper_cfg or default, process_group=group)
        wrapper.setdefault('type', 'MMDistributedDataParallel')
        kind = wrapper['type']
        if isinstance(kind, str):
            kind = MODEL_WRAPPERS.get(kind)
        if not issubclass(kind, MMDistributedDataParallel):
            expected = "MMDistributedDataParallel with `model.parallel='cohort'`"
            raise invalid('model_wrapper_cfg.type', expected, kind.__name__)
        elsewhere = [name for name, x in model.state_dict().items() if is_meta(x)]
        kind._set_params_and_buffers_to_ignore_for_model(model, elsewhere)
        return super().wrap_model(wrapper, model)  # type: ignore[misc]

    def build_train_loop(self, loop: Union[BaseLoop, dict]) -> BaseLoop:
        """Make peers load the same images."""
        built = isinstance(loop, BaseLoop)
        loop = super().build_train_loop(loop)  # type: ignore[misc]
        if not built:
            check_training(self, loop)
            share_images(loop.dataloader, unwrapped(self.model).exchange.mesh)
        return loop

    def build_optim_wrapper(self, optim_wrapper: Any) -> OptimWrapper:
        """Build the optimizer wrapper; there may only be one."""
        built = super().build_optim_wrapper(optim_wrapper)  # type: ignore[misc]
        if not isinstance(built, OptimWrapper):
            expected = "one optimizer with `model.parallel='cohort'`"
            raise invalid('optim_wrapper', expected, type(built).__name__)
        see_all_gradients(built, unwrapped(self.model).exchange.mesh)
        return built

    def build_val_loop(self, loop: Union[BaseLoop, dict]) -> BaseLoop:
        """Build the loop, and check that all processes evaluate in step."""
        loop = super().build_val_loop(loop)  # type: ignore[misc]
        check_evaluation(loop, 'val')
        return loop

    def build_test_loop(self, loop: Union[BaseLoop, dict]) -> BaseLoop:
        """Build the loop, and check that all processes evaluate in step."""
        loop = super().build_test_loop(loop)  # type: ignore[misc]
        check_evaluation(loop, 'test')
        return loop

    def save_checkpoint(self, *args, **kwargs) -> None:
        """Save the states of all students; all processes must call it."""
        with whole_states(self):
            super().save_checkpoint(*args, **kwargs)  # type: ignore[misc]

    def load_checkpoint(self, *args, **kwargs) -> dict:
        """Load the students of this process from a checkpoint of all."""
        with warnings.catch_warnings():
            # Nothing is copied for students that other processes hold.
            warnings.filterwarnings('ignore', '.*copying from a non-meta parameter.*')
            return super().load_checkpoint(*args, **kwargs)  # type: ignore[misc]

    def resume(self, *args, map_location: Any = 'default', **kwargs) -> None:
        """Resume from a checkpoint of all students, which stays on the CPU."""
        location = 'cpu' if map_location == 'default' else map_location
        super().resume(*args, map_location=location, **kwargs)  # type: ignore[misc]


def share_images(dataloader: DataLoader, mesh: CohortMesh) -> None:
    """Make a process load the images that its students and their peers see.

    The images of a step, over all processes, are those of data parallelism. The
    C peers load the same images, C times as many each.

    Args:
        dataloader (DataLoader): The data loader of the training.
        mesh (CohortMesh): The processes.
    """
    batches: Any = dataloader.batch_sampler
    sampler = batches.sampler
    sampler.rank = dist.get_group_rank(mesh.data, get_rank())
    sampler.world_size = dist.get_world_size(mesh.data)
    if isinstance(sampler, DefaultSampler):
        sampler.num_samples = math.ceil(sampler.total_size / sampler.world_size)
    else:
        assert isinstance(sampler, InfiniteSampler)
        sampler.indices = sampler._indices_of_rank()
    batches.batch_size *= mesh.size
