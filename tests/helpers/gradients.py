# Copyright (c) mmdckd contributors. All rights reserved.
"""Compare the gradients of a step with those of the same step elsewhere."""

from mmengine.optim import OptimWrapper


class KeepGradients(OptimWrapper):
    """Leaves weights and gradients as a step has computed them."""

    def step(self, **kwargs):
        pass

    def zero_grad(self, **kwargs):
        pass


def dckd(**kwargs):
    """A distiller with one DCKDLoss."""
    return dict(
        type='mmdckd.CollectiveDistiller',
        collective_losses=dict(loss=dict(type='mmdckd.DCKDLoss', **kwargs)),
    )
