# Copyright (c) mmdckd contributors. All rights reserved.
from importlib import import_module

import pytest

from helpers.malicious import train_once, with_command
from mmdckd.io import trust

REFUSED = 'expected only weights.*--trust-checkpoint'


@pytest.fixture(scope='module')
def runner(tmp_path_factory):
    return train_once(tmp_path_factory.mktemp('trust'))


@pytest.mark.parametrize(
    'tool, arguments',
    [
        ('train', '{config} --resume {bad}'),
        ('test', '{config} {bad}'),
        ('export', '{bad} --student student0 --out {folder}/out'),
        ('convert.crd', '{bad} {folder}/converted.pth'),
    ],
)
def test_tools_run_it_only_when_told_to_trust_it(
    tool, arguments, runner, tmp_path, monkeypatch
):
    folder, trace = tmp_path, tmp_path / 'trace'
    bad = with_command(runner, trace)
    config = folder / 'config.py'
    cfg = runner.cfg.copy()
    cfg.update(work_dir=str(folder / 'work'), experiment_name=tool)
    cfg.dump(str(config))
    monkeypatch.setattr(trust, '_trusted', False)
    monkeypatch.setenv('LOCAL_RANK', '0')
    main = import_module(f'mmdckd.cli.{tool}').main
    command = arguments.format(config=config, bad=bad, folder=folder).split()
    with pytest.raises((ValueError, SystemExit), match=REFUSED):
        main(command)
    assert not trace.exists()
    cfg.update(experiment_name=f'trusted {tool}')
    cfg.dump(str(config))
    command.append('--trust-checkpoint')
    if tool == 'convert.crd':
        with pytest.raises(SystemExit):  # it is none that this one knows
            main(command)
    else:
        main(command)
    assert trace.exists()
