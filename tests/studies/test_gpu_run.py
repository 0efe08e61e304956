# Copyright (c) mmdckd contributors. All rights reserved.
"""The files that `studies/gpu/run` leaves, with a stand-in for the interpreter."""

import shutil
import subprocess
import tarfile

from helpers.paths import ROOT

#: Writes what the programs of each step write.
PYTHON = """#!/usr/bin/env bash
while [ $# -gt 0 ]; do
    case $1 in
        --out) out=$2 ;;
        --name) name=$2 ;;
        --work-dir) work=$2 ;;
        --json-lines) touch "$2" ;;
        */fast.py) name=${name:-fast} ;;
    esac
    shift
done
if [ -n "$work" ]; then
    train=$work/resnet56-0123/seed0/train
    mkdir -p "$train" "$out/plots"
    touch "$out/results.jsonl" "$out/results.csv" "$out/README.md" "$out/plots/a.png"
    touch "$train/epoch_16.pth" "$train/best_accuracy_top1_epoch_8.pth"
elif [ -n "$name" ]; then
    touch "$out/$name.jsonl" "$out/$name.log"
fi
"""


def test_a_lent_machine_can_give_all_results_back(tmp_path):
    """It takes eight files, no more than two folders down."""
    (tmp_path / 'studies/gpu').mkdir(parents=True)
    shutil.copy(ROOT / 'studies/gpu/run', tmp_path / 'studies/gpu')
    for name in ('glyph62', 'fashion-mnist'):
        (tmp_path / 'data' / name).mkdir(parents=True)
    python, out = tmp_path / 'python', tmp_path / 'out'
    python.write_text(PYTHON)
    python.chmod(0o755)
    environment = dict(PATH='/usr/local/bin:/usr/bin:/bin', PYTHON=python, OUT=out)
    subprocess.run(
        ['bash', 'studies/gpu/run'], cwd=tmp_path, env=environment, check=True
    )
    found = {str(p.relative_to(out)) for p in out.rglob('*') if p.is_file()}
    assert found == {
        'steps.jsonl',
        'right.jsonl',
        'right.log',
        'fast.jsonl',
        'fast.log',
        'glyph62/results.jsonl',
        'fashion_mnist/results.jsonl',
        'teachers.tgz',
    }
    with tarfile.open(out / 'teachers.tgz') as archive:
        weights = [name for name in archive.getnames() if name.endswith('.pth')]
    assert len(weights) == 2 and not any('best' in name for name in weights)
    reports = tmp_path / 'out.work/reports/glyph62'
    assert {path.name for path in reports.iterdir()} == {
        'README.md',
        'results.csv',
        'a.png',
    }
