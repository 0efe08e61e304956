# Copyright (c) mmdckd contributors. All rights reserved.
from mmdckd.compat import apply_to_models

from .algorithms import *  # noqa: F401,F403
from .backbones import *  # noqa: F401,F403
from .cohorts import *  # noqa: F401,F403
from .collectors import *  # noqa: F401,F403
from .distillers import *  # noqa: F401,F403
from .losses import *  # noqa: F401,F403
from .teachers import *  # noqa: F401,F403

apply_to_models()
