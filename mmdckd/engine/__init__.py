# Copyright (c) mmdckd contributors. All rights reserved.
from .cpu_processes import CPUDataParallel  # noqa: F401
from .hooks import *  # noqa: F401,F403
from .loops import *  # noqa: F401,F403
from .optimizers import *  # noqa: F401,F403
from .runner import *  # noqa: F401,F403
from .visualizers import *  # noqa: F401,F403
