# Copyright (c) mmdckd contributors. All rights reserved.
from .base_collective_loss import BaseCollectiveLoss
from .cohort_dist_loss import CohortDISTLoss
from .cohort_dkd_loss import CohortDKDLoss
from .dckd_loss import DCKDLoss
from .functional import entropy
from .gated_ensemble_loss import GatedEnsembleLoss
from .logit_loss import LogitLoss
from .mlkd_loss import MLKDLoss
from .relation_map_loss import RelationMapLoss
from .standardize import standardize
from .teacher_loss import TeacherLoss
from .weight_ramp import WeightRamp
from .wkd_loss import WKDLoss

__all__ = [
    'BaseCollectiveLoss',
    'CohortDISTLoss',
    'CohortDKDLoss',
    'DCKDLoss',
    'GatedEnsembleLoss',
    'LogitLoss',
    'MLKDLoss',
    'RelationMapLoss',
    'TeacherLoss',
    'WKDLoss',
    'WeightRamp',
    'entropy',
    'standardize',
]
