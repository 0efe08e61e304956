# Copyright (c) mmdckd contributors. All rights reserved.
from .base_collective_loss import BaseCollectiveLoss
from .dckd_loss import DCKDLoss
from .entropy import entropy
from .weight_ramp import WeightRamp

__all__ = ['BaseCollectiveLoss', 'DCKDLoss', 'WeightRamp', 'entropy']
