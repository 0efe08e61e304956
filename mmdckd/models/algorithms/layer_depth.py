# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Tuple

from torch import nn

from mmdckd import names


def layer_depth(algorithm: nn.Module, param_name: str) -> Tuple[int, int]:
    """How deep a parameter lies in the member that has it.

    MMPretrain's ``LearningRateDecayOptimWrapperConstructor`` asks for it, to
    give deeper layers greater learning rates. Every student, and a trainable
    teacher, answers for itself; what belongs to no member, such as a
    connector, counts as the last layer, whose learning rate is not scaled.

    Args:
        algorithm (:obj:`CollectiveDistill`): The algorithm.
        param_name (str): The name of one of its parameters.

    Returns:
        Tuple[int, int]: The depth, and the greatest depth.

    Raises:
        NotImplementedError: If the member's network does not tell.
    """
    student = names.split_parameter(param_name)
    teacher = names.split_teacher_parameter(param_name)
    if student is not None:
        member, own = student
        network = algorithm.cohort.students[member]
    elif teacher is not None:
        index, own = teacher
        member = algorithm.teacher_names[index]
        network = algorithm.teachers[index].model
    else:
        return 0, 1
    try:
        return network.get_layer_depth(own)
    except (AttributeError, NotImplementedError) as error:
        raise NotImplementedError(
            '`optim_wrapper.constructor` decays the learning rate by layer, '
            f'and {member!r} does not tell the depth of its layers: '
            f'{error}'
        ) from error
