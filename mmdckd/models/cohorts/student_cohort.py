# Copyright (c) mmdckd contributors. All rights reserved.
import contextlib
from typing import (
    Any,
    Dict,
    Hashable,
    Iterable,
    Iterator,
    List,
    Mapping,
    Optional,
    Tuple,
    Union,
)

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.model import BaseModel
from torch import nn
from torchvision.ops import StochasticDepth

from mmdckd.names import check_name, in_order
from mmdckd.registry import MODELS

from ..networks import (
    build_network,
    check_same_classes,
    num_classes_of,
    resolve_network,
)
from ..weights import check_pretrained_parts


@MODELS.register_module()
class StudentCohort(BaseModel):
    """N named students that are trained together.

    Each student is built and initialized from its own seed. The first one uses
    the run's random stream, so a cohort of one starts bitwise equal to
    MMPretrain's run of that network, and adding peers does not change it.

    Args:
        students (Dict[str, dict]): Name to network config; see
            :func:`~mmdckd.models.networks.resolve_network` for the forms.
            Students are sorted by name, see :func:`~mmdckd.names.in_order`;
            ``mode='predict'`` returns the predictions of the first.
        data_preprocessor (dict, optional): The config of the data
            preprocessor, which overrides the students' configs. Defaults to
            None.
        key (str): The config key of the students, for error messages.
            Defaults to ``'students'``.

    Attributes:
        students (nn.ModuleDict): Name to network.
        configs (Dict[str, dict]): Name to self-contained model config, as plain
            MMPretrain builds it, without ``data_preprocessor``.
        data_preprocessor (nn.Module): The data preprocessor of all students;
            images are preprocessed once per batch.
        data_preprocessor_cfg (dict, optional): Its config, if any.
        held (List[str]): The students that this process holds: all, unless
            ``model.parallel='cohort'`` spreads them over processes.
        deployed (List[str]): The students among which the best is deployed:
            all, or the graduates of ``model.folds``.

    Raises:
        ValueError: If there is no student, a name is invalid, or the students
            differ in their number of classes or their data preprocessor.
        TypeError: If ``students`` or ``data_preprocessor`` is not a dict.

    Examples:
        >>> cohort = StudentCohort(dict(
        ...     main=dict(cfg_path='mmpretrain::resnet/'
        ...               'resnet18_8xb32_in1k.py'),
        ...     peer=dict(cfg_path='mmpretrain::resnet/'
        ...               'resnet34_8xb32_in1k.py')))
        >>> cohort.names
        ['main', 'peer']
    """

    def __init__(
        self,
        students: Dict[str, dict],
        data_preprocessor: Optional[dict] = None,
        key: str = 'students',
    ) -> None:
        super().__init__()
        if not students:
            raise ValueError(
                f'Invalid `{key}`: expected at least one student, got none.'
            )
        if not isinstance(students, dict):
            raise TypeError(
                f'Invalid `{key}`: expected a dict from name to network, got '
                f'{students!r}.'
            )
        if data_preprocessor is not None and not isinstance(data_preprocessor, dict):
            raise TypeError(
                f'Invalid `data_preprocessor`: expected a dict, got '
                f'{data_preprocessor!r}.'
            )
        networks, self.configs = {}, {}
        self._keys: List[str] = []
        for name in students:
            check_name(name, key)
        for index, name in enumerate(in_order(students)):
            where = key if key == 'architecture' else f'{key}.{name}'
            spec = resolve_network(students[name], where)
            if data_preprocessor is not None:
                spec.data_preprocessor = ConfigDict(data_preprocessor)
            with student_seed(index):
                networks[name] = build_network(spec)
            self.configs[name] = spec.model.to_dict()
            self._keys.append(f'model.{spec.key}')
            if index == 0:
                self.data_preprocessor_cfg = spec.data_preprocessor
        self.students = nn.ModuleDict(networks)
        self.held = self.deployed = self.names
        check_same_classes(key, {n: num_classes_of(s) for n, s in self.items()})
        self.data_preprocessor = self._common_data_preprocessor(key)

    @property
    def names(self) -> List[str]:
        """List[str]: The students' names, in order."""
        return list(self.students)

    @property
    def num_classes(self) -> Optional[int]:
        """int, optional: The number of classes, if the heads report it."""
        return num_classes_of(next(iter(self.students.values())))

    def __len__(self) -> int:
        return len(self.students)

    def items(self) -> Iterator[Tuple[str, BaseModel]]:
        """Iterate over names and networks of the students that this process
        holds."""
        return ((name, self.students[name]) for name in self.held)

    def hold(self, names: List[str]) -> None:
        """Keep the weights of some students, and release those of the others.

        Args:
            names (List[str]): The students to keep. The others move to the
                ``meta`` device.
        """
        self.held = names
        for name, student in self.students.items():
            if name not in names:
                # That of the first student is that of the cohort.
                preprocessor = student.data_preprocessor
                student.data_preprocessor = None
                student.to('meta').data_preprocessor = preprocessor

    def forward(
        self,
        inputs: torch.Tensor,
        data_samples: Optional[list] = None,
        mode: str = 'tensor',
    ) -> Dict[str, Union[dict, list]]:
        """Run every student on the same inputs.

        Args:
            inputs (Tensor): Preprocessed images (B, 3, H, W).
            data_samples (list, optional): B data samples.
            mode (str): ``'tensor'``, ``'loss'`` or ``'predict'``, as in
                MMPretrain.

        Returns:
            dict: Name to what that student returns.
        """
        return {
            name: student(inputs, data_samples, mode=mode)
            for name, student in self.items()
        }

    def init_weights(self) -> None:
        """Initialize every student from its own seed."""
        for index, student in enumerate(self.students.values()):
            if not getattr(student, '_is_init', False):
                check_pretrained_parts(student, self._keys[index])
                with student_seed(index):
                    student.init_weights()
        self._is_init = True

    def check_distinct(self, lessons: Optional[Mapping[str, Hashable]] = None) -> None:
        """Check that no two students would stay equal throughout training.

        Args:
            lessons (Dict[str, Hashable], optional): What each student learns from,
                such as the fold that it is blind to. Students with different
                lessons become different. Defaults to None: all learn the same.

        Raises:
            ValueError: If two students with the same lesson have bitwise equal
                parameters and no random layers (dropout, drop path).
        """
        check_distinct(self.items(), lessons or {})

    def predictable(self) -> Iterator[Tuple[str, BaseModel]]:
        """Iterate over the students of this process without random layers."""
        return _predictable(self.items())

    def _common_data_preprocessor(self, key: str) -> nn.Module:
        (first_name, first), *others = self.items()
        for name, buffer in first.data_preprocessor.named_buffers():
            if not buffer.isfinite().all():
                raise ValueError(
                    f'Invalid `data_preprocessor.{name}`: expected finite '
                    f'numbers, got {buffer.flatten().tolist()}.'
                )
        mean, std = (
            getattr(first.data_preprocessor, name, None) for name in ('mean', 'std')
        )
        if mean is not None and std is not None and mean.shape != std.shape:
            raise ValueError(
                'Invalid `data_preprocessor`: expected as many numbers in `mean` as '
                f'in `std`, one per channel, got {len(mean)} and {len(std)}.'
            )
        for name, student in others:
            if _preprocessing(student.data_preprocessor) != _preprocessing(
                first.data_preprocessor
            ):
                raise ValueError(
                    f'Invalid `{key}`: expected the same data preprocessor '
                    'for all students, as images are preprocessed once, got '
                    f'different ones for {name!r} and {first_name!r}. Set '
                    '`model.data_preprocessor`.'
                )
        return first.data_preprocessor


def check_distinct(
    students: Iterable[Tuple[str, nn.Module]], lessons: Mapping[str, Hashable]
) -> None:
    """Check that no two networks would stay equal throughout training; see
    :meth:`StudentCohort.check_distinct`.

    Args:
        students (Iterable[Tuple[str, nn.Module]]): Names and networks.
        lessons (Dict[str, Hashable]): What each student learns from; None for one
            that is missing.
    """
    seen: List[Tuple[str, nn.Module]] = []
    for name, student in _predictable(students):
        for other_name, other in seen:
            same_lesson = lessons.get(name) == lessons.get(other_name)
            if same_lesson and _same_parameters(student, other):
                raise equal_students(other_name, name)
        seen.append((name, student))


def _predictable(
    students: Iterable[Tuple[str, nn.Module]],
) -> Iterator[Tuple[str, Any]]:
    return (each for each in students if not _is_stochastic(each[1]))


def equal_students(first: str, second: str) -> ValueError:
    """Make the error of two students that would stay equal.

    Args:
        first (str): The name of a student.
        second (str): The name of another.
    """
    return ValueError(
        f'Invalid `students`: expected students that differ, got {first!r} and '
        f'{second!r} with bitwise equal weights. As they see the same images, they '
        'would stay equal and could not teach each other. Initialize them '
        'differently; if they share pretrained weights, add dropout or drop path.'
    )


@contextlib.contextmanager
def student_seed(index: int):
    """Draw random numbers from the stream of student ``index`` in this context.

    Student 0 uses the current stream. The others use a seed derived from the
    run's seed and their index, and restore the current stream afterwards, on
    the GPU as well: a runner moves networks to their device before it
    initializes them.
    """
    if index == 0:
        yield
        return
    words = np.random.SeedSequence((torch.initial_seed(), index))
    seed = int(words.generate_state(1, np.uint64)[0])
    # `torch.manual_seed` would seed every GPU, and forking all generators
    # would create a context on each.
    on_gpu = torch.cuda.is_available() and torch.cuda.is_initialized()
    devices = [torch.cuda.current_device()] if on_gpu else []
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if on_gpu:
            torch.cuda.manual_seed(seed)
        yield


def _is_stochastic(network: nn.Module) -> bool:
    return any(0 < rate < 1 for each in network.modules() for rate in _rates(each))


def _rates(module: nn.Module) -> Iterator[float]:
    """Yield the probabilities with which a module drops values, itself or by a
    function of torch, as ``nn.MultiheadAttention`` does by its ``dropout``."""
    drops = isinstance(module, (nn.modules.dropout._DropoutNd, StochasticDepth))
    for name, value in vars(module).items():
        if isinstance(value, float) and ('drop' in name or drops and name == 'p'):
            yield value


def _same_parameters(a: nn.Module, b: nn.Module) -> bool:
    params_a, params_b = list(a.parameters()), list(b.parameters())
    return len(params_a) == len(params_b) and all(
        p.shape == q.shape and torch.equal(p, q) for p, q in zip(params_a, params_b)
    )


def _preprocessing(preprocessor: nn.Module) -> dict:
    """Return what a data preprocessor does, for comparison."""
    content = _settings(preprocessor)
    for name in ('training', 'num_classes'):
        content.pop(name, None)
    content.update((n, b.flatten().tolist()) for n, b in preprocessor.named_buffers())
    augments = getattr(preprocessor, 'batch_augments', None)
    if augments is not None:
        content['augments'] = [_settings(augment) for augment in augments.augments]
        content['probs'] = augments.probs
    return content


def _settings(thing: Any) -> Dict[str, Any]:
    """Return the type of an object, and its attributes that are plain values."""
    plain = (int, float, str, bool, tuple, type(None))
    own = getattr(thing, '__dict__', {})
    return {
        'type': type(thing),
        **{name: value for name, value in own.items() if isinstance(value, plain)},
    }
