# Copyright (c) mmdckd contributors. All rights reserved.
"""Where things are in the repository."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
DOCS = ROOT / 'docs'
STUDIES = ROOT / 'studies'
TOOLS = ROOT / 'tools'
HELPERS = ROOT / 'tests' / 'helpers'
