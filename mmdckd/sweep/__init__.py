# Copyright (c) mmdckd contributors. All rights reserved.
"""Compare methods over several seeds, as described in one small file.

``mmdckd sweep`` consists of these parts: :mod:`.spec` reads the file,
:mod:`.plan` lists the runs, :mod:`.scheduler` starts a process for each,
:mod:`.worker` is that process, :mod:`.results` stores the results, and
:mod:`.report` and :mod:`.plots` present them.
"""
