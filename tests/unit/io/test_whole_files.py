# Copyright (c) mmdckd contributors. All rights reserved.
"""Files are written in one place."""

import re

from helpers.paths import ROOT


def test_only_one_module_puts_files_in_their_place():
    """What a kill must not cut in two is written with ``replacing``."""
    sources = [
        path
        for folder in ('mmdckd', 'tools', 'studies')
        for path in (ROOT / folder).rglob('*.py')
    ]
    renaming = re.compile(r"\bos\.(replace|rename)\(|shutil\.move\(|\.tmp'")
    writers = [path for path in sources if renaming.search(path.read_text('utf-8'))]
    assert ROOT / 'mmdckd/io/files.py' in writers
    allowed = {'mmdckd/io/files.py', 'studies/stress/kill_training.py'}
    assert {str(path.relative_to(ROOT)) for path in writers} == allowed
