# Copyright (c) mmdckd contributors. All rights reserved.
"""What is installed, and what installing it leaves alone."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import PackageNotFoundError, metadata, requires, version

import pytest
from mmengine.config import Config
from packaging.requirements import Requirement

import mmdckd
from helpers.paths import ROOT

SOURCES = [
    'mmdckd',
    'configs',
    'tools',
    'setup.py',
    'pyproject.toml',
    'MANIFEST.in',
    'LICENSE',
    'README.md',
    'model-index.yml',
]


def call(*command, cwd, **env):
    process = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=dict(os.environ, **env),
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def pip(*arguments, cwd):
    """Run pip where no index is to be had."""
    return call(
        sys.executable,
        '-m',
        'pip',
        '--disable-pip-version-check',
        *arguments,
        '--quiet',
        '--no-index',
        '--no-build-isolation',
        cwd=cwd,
    )


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """The sources, as in a clone of their own."""
    folder = tmp_path_factory.mktemp('source')
    ignore = shutil.ignore_patterns('__pycache__', '.mim')
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope='module')
def wheel(source, tmp_path_factory):
    """The wheel that is built from the source distribution."""
    folder = tmp_path_factory.mktemp('wheel')
    build = 'from setuptools import build_meta as b; b.build_sdist("dist")'
    call(sys.executable, '-c', build, cwd=source)
    (sdist,) = (source / 'dist').glob('*.tar.gz')
    with tarfile.open(sdist) as archive:
        archive.extractall(folder)
    (unpacked,) = folder.iterdir()
    pip('wheel', '--no-deps', '--wheel-dir', folder, '.', cwd=unpacked)
    (wheel,) = folder.glob('*.whl')
    return wheel


def files(folder, pattern='**/*'):
    return {
        path.relative_to(folder).as_posix()
        for path in folder.glob(pattern)
        if path.is_file() and '__pycache__' not in path.parts
    }


def test_version_is_stated_once():
    assert mmdckd.__version__ == metadata('mmdckd')['Version']
    assert re.fullmatch(r'\d+\.\d+\.\d+', mmdckd.__version__)


@pytest.mark.skipif(
    not os.path.exists(os.path.join(ROOT, '.git')), reason='needs a git clone'
)
def test_repository_has_no_links():
    """A link leads to a path of the machine it was made on.

    As `data`, it kept every command that makes a data set from making its folder.
    """
    files = subprocess.run(
        ['git', 'ls-files', '--stage'],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    assert len(files) > 100
    assert [line for line in files if line.startswith('120000')] == []


def test_requirements_have_one_provider_each():
    needed = {
        Requirement(line).name for line in requires('mmdckd') if 'extra ==' not in line
    }
    assert 'mmrazor' in needed and 'joblib' in needed
    assert not needed & {
        'torch',
        'torchvision',
        'mmcv',
        'mmcv-lite',
        'mmengine',
        'mmpretrain',
        'opencv-python',
        'opencv-python-headless',
    }


def test_installing_replaces_nothing(source, tmp_path):
    report = tmp_path / 'report.json'
    pip('install', '--dry-run', '--report', report, '.', cwd=source)
    installed = json.loads(report.read_text())['install']
    assert [item['metadata']['name'] for item in installed] == ['mmdckd']


def test_wheel_holds_what_mim_looks_for(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        scripts = next(name for name in names if name.endswith('entry_points.txt'))
        assert b'\nmmdckd = mmdckd.cli.main:main\n' in archive.read(scripts)
    assert {
        f'mmdckd/{path}'
        for path in files(ROOT / 'mmdckd', '**/*.py')
        if not path.startswith('.mim')
    } <= names
    assert 'mmdckd/report/report.html.j2' in names
    assert 'mmdckd/py.typed' in names  # for mypy to take the hints
    for folder in ('configs', 'tools'):
        found = {
            name.partition('/.mim/')[2]
            for name in names
            if name.startswith(f'mmdckd/.mim/{folder}/')
        }
        assert found == {f'{folder}/{path}' for path in files(ROOT / folder)}
    assert 'mmdckd/.mim/model-index.yml' in names
    assert any(name.endswith('licenses/LICENSE') for name in names)
    tops = {name.split('/')[0] for name in names}
    assert tops == {'mmdckd', f'mmdckd-{mmdckd.__version__}.dist-info'}


def test_mim_finds_a_config_by_its_name(wheel):
    """MIM looks for the name in the whole package, and for one file."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name.split('/')[-1] for name in archive.namelist()]
    for path in (ROOT / 'configs').glob('*.py'):
        assert names.count(path.name) == 1, path


INHERIT = """
import sys
import mmdckd
from mmengine.config import Config
assert mmdckd.__file__.startswith(sys.argv[1]), mmdckd.__file__
config = Config.fromfile('user.py')
print(config.model.type, config.model.num_students)
"""


@pytest.mark.slow
def test_config_inherits_from_an_installed_wheel(wheel, tmp_path):
    target = tmp_path / 'target'
    pip('install', '--no-deps', '--target', target, wheel, cwd=tmp_path)
    (tmp_path / 'user.py').write_text(
        "_base_ = 'mmdckd::dckd_r34_r18_digits.py'\nmodel = dict(num_students=7)\n"
    )
    printed = call(
        sys.executable,
        '-W',
        'ignore',
        '-c',
        INHERIT,
        target,
        cwd=tmp_path,
        PYTHONPATH=str(target),
    )
    assert printed.split() == ['mmdckd.CollectiveDistill', '7']


def test_editable_installation_links_to_the_configs():
    folder = ROOT / 'mmdckd' / '.mim'
    for name in ('configs', 'tools', 'model-index.yml'):
        assert (folder / name).resolve() == ROOT / name


def test_what_is_inherited_keeps_its_meaning(tmp_path):
    """The parts of an inherited config are built in the scope of mmdckd."""
    from mmdckd.registry import DATASETS, METRICS, TRANSFORMS

    path = tmp_path / 'user.py'
    path.write_text("_base_ = 'mmdckd::dckd_r34_r18_digits.py'\n")
    ours = Config.fromfile(path)
    original = Config.fromfile(ROOT / 'configs' / 'dckd_r34_r18_digits.py')
    for registry, part in (
        (DATASETS, 'train_dataloader.dataset'),
        (METRICS, 'val_evaluator'),
    ):
        cfg, reference = ours, original
        for key in part.split('.'):
            cfg, reference = cfg[key], reference[key]
        assert cfg['_scope_'] == 'mmdckd'
        found = registry.get(cfg['type'])
        assert found.__name__ == reference['type'].split('.')[-1]
    for step in ours.train_dataloader.dataset.pipeline:
        assert TRANSFORMS.get(step['type']) is not None


def locked():
    lines = (ROOT / 'requirements' / 'lock.txt').read_text().splitlines()
    return dict(line.split('==') for line in lines if line and line[0] != '#')


def normal(name):
    return re.sub(r'[-_.]+', '-', name).lower()


def test_lock_holds_what_its_packages_require():
    names = {normal(name) for name in locked()}
    # The headless one provides the same module without a display library.
    names.add('opencv-python')
    for name, number in locked().items():
        try:
            installed = version(name).split('+')[0]
        except PackageNotFoundError:
            installed = None
        if installed != number:
            pytest.skip(f'not an environment of the lock: {name} {installed}')
        for line in requires(name) or []:
            requirement = Requirement(line)
            marker = requirement.marker
            # What torch needs for an accelerator its wheel pins itself.
            if name != 'torch' and (marker is None or marker.evaluate(dict(extra=''))):
                assert normal(requirement.name) in names, (name, line)


def test_lock_pins_torch_without_a_build():
    assert locked()['torch'] == '2.13.0'
    assert locked()['torchvision'] == '0.28.0'


@pytest.fixture
def make(tmp_path):
    """Tell what make would do in a folder where all is installed."""
    shutil.copy(ROOT / 'Makefile', tmp_path)
    (tmp_path / 'requirements').mkdir()
    for name in ('requirements/lock.txt', 'pyproject.toml', 'setup.py'):
        shutil.copy(ROOT / name, tmp_path / name)
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / '.venv').mkdir()
    (tmp_path / '.venv' / 'installed').touch()
    return lambda target: call('make', '--dry-run', target, cwd=tmp_path)


@pytest.mark.parametrize('target', ['demo', 'test', 'slow'])
def test_second_call_of_make_installs_nothing(make, target):
    assert 'pip install' not in make(target)
    assert '.venv/bin/python' in make(target)


def test_changed_lock_is_installed_again(make, tmp_path):
    (tmp_path / 'requirements' / 'lock.txt').touch()
    os.utime(tmp_path / '.venv' / 'installed', (2, 2))
    assert 'pip install' in make('test')


@pytest.mark.parametrize(
    'summary, code',
    [
        ('2 passed, 1 skipped in 1.00s', 0),
        ('3 skipped in 1.00s', 1),
        ('no tests ran in 0.01s', 1),
    ],
)
def test_ci_fails_where_no_test_ran(tmp_path, summary, code):
    shutil.copytree(ROOT / '.ci', tmp_path / '.ci')
    (tmp_path / 'Makefile').write_text(f'test slow:\n\t@echo "{summary}"\ndocs lint:\n')
    process = subprocess.run(
        [str(tmp_path / '.ci' / 'run')], capture_output=True, text=True
    )
    assert process.returncode == code
    assert summary in process.stdout
