# Copyright (c) mmdckd contributors. All rights reserved.
import contextlib
import io
import json
import logging
import re

import pytest

from helpers.commands import REPO
from studies.zoo import __main__ as tool
from studies.zoo.entries import choose, read_config
from studies.zoo.run import Limits, Record, run

# Two classifiers in one head, a transformer, one with two tokens, a network
# with branches to fold, one that MMPretrain cannot train, gray images.
FAMILIES = ['conformer', 'deit', 'lenet', 'levit', 'mobileone']
LENET = 'lenet/lenet5_mnist.py'


def check_zoo(work_dir, *families):
    """Run the tool, in this process: its checks have processes of their own
    and share what they import."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(REPO)
        patch.setattr(
            'sys.argv',
            ['check_zoo.py', '--work-dir', str(work_dir), '--families', *families],
        )
        with contextlib.redirect_stdout(printed):
            try:
                tool.main()
            finally:
                logging.disable(logging.NOTSET)
    return printed.getvalue()


@pytest.fixture(scope='module')
def checked(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp('zoo')
    return work_dir, check_zoo(work_dir, *FAMILIES)


@pytest.mark.slow
def test_every_family_learns_and_teaches(checked):
    work_dir, printed = checked
    assert '6 of 6 learn in a cohort, and 6 of 6 teach one' in printed
    assert 'MMPretrain alone trains 5.' in printed
    rows = {}
    page = (work_dir / 'zoo_coverage.md').read_text()
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip('|').split('|')]
        if '.py' in line and len(cells) == 5:
            rows[cells[0].strip('`').split('/')[1]] = cells[2:]
    assert len(rows) == 6
    levit = rows.pop('levit-128s_8xb256_in1k.py')
    assert levit == ['yes', 'yes', 'predicts']
    assert re.search('^- `levit/.*NotImplementedError', page, re.M)
    for name, cells in rows.items():
        assert cells == ['yes', 'yes', 'yes'], name
    assert 'deit-tiny-distilled_4xb256_in1k.py' in rows
    assert 'conformer-tiny-p16_8xb128_in1k.py' in rows


@pytest.mark.slow
def test_what_has_run_is_not_run_again(checked):
    work_dir, _ = checked
    results = work_dir / 'results.jsonl'
    lines = results.read_text().splitlines(keepends=True)
    dropped = next(
        line
        for line in lines
        if json.loads(line)['family'] == 'lenet' and 'student' in line
    )
    lines.remove(dropped)
    # As a kill leaves it.
    results.write_text(''.join(lines) + dropped[:20])
    printed = check_zoo(work_dir, *FAMILIES)
    assert printed.count(' as ') == 1
    assert f'{LENET} as student: passes' in printed
    assert len(results.read_text().splitlines()) == len(lines) + 1


def test_a_family_that_is_none_is_told(tmp_path):
    with pytest.raises(SystemExit, match=r"`--families`: expected .*got \['lenett'\]"):
        check_zoo(tmp_path, 'lenett')


@pytest.mark.slow
def test_limits_end_a_check_and_not_the_run(tmp_path):
    entries, unreadable = choose(['lenet'], report=lambda line: None)
    assert not unreadable and len(entries) == 1
    for name, limits, reason in (
        ('time', Limits(seconds=0.0), 'took more than 0 s'),
        ('memory', Limits(gigabytes=0.25), ''),
    ):
        record = Record(str(tmp_path / f'{name}.jsonl'))
        run(entries, record, limits, report=lambda line: None)
        control = record.of(LENET, 'control')
        assert control['trains'] and control['predicts']
        assert reason in control['trains']
        assert record.of(LENET, 'student') is None


def test_smallest_of_each_kind_is_chosen():
    entries, _ = choose(['deit'], report=lambda line: None)
    assert {entry.config for entry in entries} == {
        'deit/deit-tiny_4xb256_in1k.py',
        'deit/deit-tiny-distilled_4xb256_in1k.py',
    }
    # As in the table of the paper: 5.7 M, and 5.9 M with the second token.
    assert sorted(round(entry.parameters / 1e6, 1) for entry in entries) == [5.7, 5.9]


def test_nothing_would_be_downloaded():
    cfg = read_config('csra/resnet101-csra_1xb16_voc07-448px.py')
    assert 'Pretrained' not in cfg.pretty_text.split('data_preprocessor')[0]
    assert 'init_cfg' not in cfg.model.backbone
