# Copyright (c) mmdckd contributors. All rights reserved.
"""Methods compared over several seeds, from one small file.

What ``tools/sweep.py`` is made of: :mod:`.spec` reads the file,
:mod:`.plan` says which runs it takes, :mod:`.scheduler` starts a process for
each, :mod:`.worker` is that process, :mod:`.results` keeps what came out,
:mod:`.report` and :mod:`.plots` show it.
"""
