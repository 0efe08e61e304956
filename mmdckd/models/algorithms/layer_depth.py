# Copyright (c) mmdckd contributors. All rights reserved.
from typing import Tuple

from torch import nn

from mmdckd import names


def layer_depth(algorithm: nn.Module, param_name: str) -> Tuple[int, int]:
    """Return the depth of a parameter's layer in its member.

    MMPretrain's ``LearningRateDecayOptimWrapperConstructor`` calls it to give
    deeper layers a larger learning rate. Each student, and a trainable
    teacher, has its own depth. A parameter outside the members, such as one of
    a connector, counts as the last layer, whose learning rate is not scaled.

    Args:
        algorithm (:obj:`CollectiveDistill`): The algorithm.
        param_name (str): The name of one of its parameters.

    Returns:
        Tuple[int, int]: The depth of the layer, and that of the last layer.

    Raises:
        NotImplementedError: If the member's network has no layer depths.
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
            'Invalid `optim_wrapper.constructor`: expected one without layer-wise '
            f'learning rate decay, as {member!r} does not report the depth of its '
            f'layers, got layer-wise decay ({error}).'
        ) from error
