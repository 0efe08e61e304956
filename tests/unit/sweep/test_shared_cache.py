# Copyright (c) mmdckd contributors. All rights reserved.
"""The jobs of a sweep share a teacher and the cache of its logits."""

import json

import pytest
from mmengine.config import Config

from helpers.sweeps import write, write_cohort, write_spec, write_teacher
from mmdckd.sweep.running import run_sweep


@pytest.mark.slow
def test_a_later_run_finds_the_logits_of_an_earlier_one(tmp_path):
    folder, work_dir = tmp_path / 'logits', tmp_path / 'runs'
    cohort = Config.fromfile(write_cohort(tmp_path / 'plain.py'))
    cohort.default_hooks = dict(exact_resume=dict(type='mmdckd.ExactResumeHook'))
    cohort.custom_hooks = [dict(type='mmdckd.TeacherCacheHook', folder=str(folder))]
    config = write(tmp_path / 'cached.py', **cohort.to_dict())
    teachers = dict(it=dict(config=write_teacher(tmp_path / 'teacher.py')))

    def sweep(*rates):
        spec = write_spec(
            tmp_path / 'spec.py',
            seeds=[0],
            teachers=teachers,
            methods={
                f'lr={rate}': dict(
                    config=config, cfg_options={'optim_wrapper.optimizer.lr': rate}
                )
                for rate in rates
            },
        )
        assert not run_sweep(spec, work_dir=str(work_dir))
        return {
            path.relative_to(folder): path.stat().st_mtime_ns
            for path in folder.glob('*/*.logits')
        }

    first = sweep(0.01)
    assert len(first) == 2  # epochs
    assert sweep(0.01, 0.1) == first
    lines = (work_dir / 'results.jsonl').read_text().splitlines()
    names = [json.loads(line)['name'] for line in lines]
    assert names == ['it', 'lr=0.01', 'lr=0.1']
