# Copyright (c) mmdckd contributors. All rights reserved.
from .base_collective_loss import BaseCollectiveLoss
from .dckd_loss import DCKDLoss
from .entropy import entropy
from .gated_ensemble_loss import GatedEnsembleLoss
from .weight_ramp import WeightRamp

__all__ = [
    'BaseCollectiveLoss', 'DCKDLoss', 'GatedEnsembleLoss', 'WeightRamp',
    'entropy'
]
