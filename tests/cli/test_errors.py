# Copyright (c) mmdckd contributors. All rights reserved.
import os
import os.path as osp
import re

import pytest

from mmdckd.cli.errors import one_error_line


def end_of(error, folder=None):
    with pytest.raises(SystemExit) as end, one_error_line(folder):
        raise error
    return end.value.code


@pytest.mark.parametrize(
    'error',
    [
        ValueError('Invalid `tau`: expected a positive number, got -1'),
        FileNotFoundError('there is no file'),
        ModuleNotFoundError('onnx is not installed'),
    ],
)
def test_what_a_user_can_mend_is_one_line(error):
    assert end_of(error) == f'error: {error}'


def test_ctrl_c_is_one_line(capsys):
    assert end_of(KeyboardInterrupt()) == 130
    assert capsys.readouterr().err == 'interrupted\n'


def test_anything_else_keeps_its_traceback_in_a_file(tmp_path, monkeypatch):
    message = end_of(KeyError('depth'), str(tmp_path / 'new'))
    path = tmp_path / 'new' / 'traceback_rank0.txt'
    assert message == f"error: KeyError: 'depth'\n(traceback: {path})"
    assert "raise error\nKeyError: 'depth'" in path.read_text()
    monkeypatch.setenv('RANK', '3')
    assert 'traceback_rank3.txt' in end_of(KeyError('depth'), str(tmp_path))


@pytest.mark.parametrize('in_the_way', [False, True])
def test_without_a_folder_it_is_among_temporary_files(
    tmp_path, in_the_way, monkeypatch
):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    folder = None
    if in_the_way:  # as a folder that cannot be written to
        (tmp_path / 'file').touch()
        folder = str(tmp_path / 'file')
    path = re.search(r'\(traceback: (.*)\)$', end_of(KeyError(), folder))[1]
    assert osp.dirname(path) == str(tmp_path) and osp.getsize(path)


def test_where_nothing_can_be_written_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'nowhere'))
    message = end_of(KeyError(1))
    assert message.startswith('error: KeyError: 1\n(the traceback could not be saved: ')


def test_an_exit_and_a_long_message():
    assert end_of(SystemExit(75)) == 75
    assert len(end_of(ValueError('x' * 10**5))) < 1600
    assert os.linesep not in end_of(ValueError())
