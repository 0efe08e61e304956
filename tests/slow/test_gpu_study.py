# Copyright (c) mmdckd contributors. All rights reserved.
"""The study of a GPU, on the CPU and as small as it gets."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.paths import ROOT

FAST = ROOT / 'studies/gpu/fast.py'

pytestmark = pytest.mark.slow


def measure(out: Path, seconds: int, *parts: str) -> list:
    subprocess.run(
        [
            sys.executable,
            FAST,
            '--device',
            'cpu',
            '--mini',
            '--seconds',
            str(seconds),
            '--out',
            out,
            '--parts',
            *parts,
        ],
        check=True,
    )
    text = (out / 'fast.jsonl').read_text()
    return [json.loads(line) for line in text.splitlines()]


def test_each_part_writes_its_figures(tmp_path):
    parts = ['card', 'students_32', 'loss', 'cohort_32', 'syncs']
    lines = measure(tmp_path, 400, *parts)
    finished = [line['part'] for line in lines if line['what'] == 'finished']
    assert finished == parts, (tmp_path / 'fast.log').read_text()
    found = {line['what']: line for line in lines}
    assert found['bandwidth']['gb_per_s'] > 0
    assert found['step']['cohort_ms'] > 0
    assert found['students']['failed'] == {}
    assert max(found['students']['differs_by'].values()) < 1e-2
    assert found['waits']['per_step'] == 0


def test_a_part_without_time_costs_the_others_nothing(tmp_path):
    lines = measure(tmp_path, 1, 'profile', 'card')
    finished = [line['part'] for line in lines if line['what'] == 'finished']
    assert finished == ['card'], (tmp_path / 'fast.log').read_text()
