# Copyright (c) mmdckd contributors. All rights reserved.
import os

import pytest

from mmdckd.io.files import path_below


@pytest.mark.parametrize(
    'names',
    [
        ('a.py',),
        ('sub', 'a.py'),
        ('sub/a.py',),
        ('..a',),
        ('sub', '..', 'a'),
        ('[x].png',),
    ],
)
def test_a_path_below_its_folder_is_joined(names, tmp_path):
    assert path_below(str(tmp_path), *names) == os.path.join(str(tmp_path), *names)


@pytest.mark.parametrize(
    'names',
    [
        ('..',),
        ('../a',),
        ('/etc/a',),
        ('',),
        ('.',),
        ('sub/../..',),
        ('a\0b',),
        ('sub', '/a'),
    ],
)
def test_a_path_elsewhere_is_refused(names, tmp_path):
    folder = tmp_path / 'out'
    with pytest.raises(ValueError, match='Invalid path.*below the folder'):
        path_below(str(folder), *names)


def test_a_sibling_whose_name_begins_alike_is_elsewhere(tmp_path):
    with pytest.raises(ValueError, match='Invalid path'):
        path_below(str(tmp_path / 'out'), '../output')


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    folder, elsewhere = tmp_path / 'out', tmp_path / 'elsewhere'
    folder.mkdir(), elsewhere.mkdir()
    (folder / 'link').symlink_to(elsewhere)
    with pytest.raises(ValueError, match='Invalid path'):
        path_below(str(folder), 'link', 'a.py')


def test_the_folder_itself_may_be_a_link(tmp_path):
    (tmp_path / 'real').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'real')
    assert path_below(str(tmp_path / 'link'), 'a').endswith('/link/a')


@pytest.mark.parametrize('name', ['a' * 231, 'é' * 116])
def test_a_name_that_is_too_long_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match='a name of at most 230 bytes'):
        path_below(str(tmp_path), name)
    assert path_below(str(tmp_path), name[:-1]).endswith(name[:-1])
