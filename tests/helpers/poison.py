# Copyright (c) mmdckd contributors. All rights reserved.
"""Makes what a student sees not a number, from a step on."""

import math


class Poison:
    """Spoils the images of a network in chosen forward passes of training.

    Args:
        network (nn.Module): A student.
        steps (Container[int]): Which, counted from 0.
        value (float): What the images are multiplied by.
    """

    def __init__(self, network, steps, value=math.nan):
        self.steps, self.value, self.count = steps, value, 0
        network.backbone.register_forward_pre_hook(self)

    def __call__(self, module, args):
        if not module.training:
            return None
        self.count += 1
        if self.count - 1 not in self.steps:
            return None
        return (args[0] * self.value, *args[1:])
