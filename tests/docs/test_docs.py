# Copyright (c) mmdckd contributors. All rights reserved.
"""Every block of code in the documentation is run, page by page."""

import importlib
import os
import re
import subprocess
import sys

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from mmrazor.registry import MODELS as MMRAZOR_MODELS
from PIL import Image

from helpers import warm
from helpers.paths import DOCS, ROOT
from mmdckd import compat
from mmdckd.io import loading
from mmdckd.registry import MODELS
from mmdckd.sweep.spec import load_spec

PAGES = sorted(
    path.relative_to(DOCS).as_posix()
    for path in [*DOCS.glob('*.md'), *DOCS.glob('*/*.md')]
    if path.name not in ('config_keys.md', 'command_line.md')  # make docs
) + ['../README.md']
#: What makes a run of hours one of seconds.
SHORTER = {
    'max_epochs=20': 'max_epochs=1',
    'epoch_20.pth': 'epoch_1.pth',
    '--epochs 20': '--epochs 1',
    ' epochs=20,': ' epochs=1,',
    'resnet34_8xb16_cifar10': 'torchvision:shufflenet_v2_x0_5',
    'resnet18_8xb16_cifar10': 'torchvision:shufflenet_v2_x0_5',
    'resnet34_digits.py\n': (
        'resnet34_digits.py --cfg-options train_cfg.val_interval=40 '
        'train_dataloader.dataset.indices=32 '
        'default_hooks.check_labels.allow_missing=True\n'
    ),
    'unlabeled_digits.py\n': (
        'unlabeled_digits.py --cfg-options train_cfg.max_epochs=1 param_scheduler=[]\n'
    ),
    'dckd_r34_r18_digits.py\n': (
        'dckd_r34_r18_digits.py --cfg-options train_cfg.max_epochs=1\n'
    ),
}
#: What a page needs beside the packages of the tests.
NEEDS = {'howto/timm.md': 'timm', 'howto/huggingface.md': 'transformers'}
#: What inherits from a file that a command writes, and is read by the next.
MADE_BY_COMMANDS = ['together.py']

pytestmark = pytest.mark.usefixtures('rough_figures')


def blocks(page):
    """The fenced blocks of a page: language and text."""
    text = (DOCS / page).read_text()
    for old, new in SHORTER.items():
        text = text.replace(old, new)
    return re.findall(r'^```(\w+)\n(.*?)^```$', text, re.M | re.S)


def file_name(code):
    found = re.match(r'# (\w+\.py)\n', code)
    return found and found.group(1)


def is_config(code):
    return bool(re.search(r'^(_base_|model) = |^with read_base', code, re.M))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder in which a page can be followed, as in the repository."""
    for name in ('configs', 'tools', 'mmdckd'):
        (tmp_path / name).symlink_to(ROOT / name)
    for split in ('train', 'val'):
        for label, color in dict(daisy='white', tulip='red').items():
            folder = tmp_path / 'data' / 'flowers' / split / label
            folder.mkdir(parents=True)
            for i in range(4):
                Image.new('RGB', (64, 48), color).save(folder / f'{i}.jpg')
    others = tmp_path / 'data' / 'more_flowers'
    others.mkdir()
    for i, color in enumerate(('yellow', 'blue', 'pink')):
        Image.new('RGB', (64, 48), color).save(others / f'{i}.jpg')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    for registry in (MODELS, MMRAZOR_MODELS, MMPRETRAIN_MODELS):
        registry.import_from_location()
        monkeypatch.setattr(registry, '_module_dict', dict(registry._module_dict))
    modules = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - modules:
        if (tmp_path / f'{name}.py').is_file():
            del sys.modules[name]


def skip_without_library(page):
    if page in NEEDS:
        pytest.importorskip(NEEDS[page])


def write(place, code):
    name = file_name(code)
    if name:
        (place / name).write_text(code)
    return name


def test_every_block_is_of_a_kind_that_is_run():
    for page in PAGES:
        fences = re.findall(r'^```(\S*)$', (DOCS / page).read_text(), re.M)
        kinds = set(fences[::2])
        assert kinds <= {'python', 'bash', 'text', '{toctree}', '{eval-rst}'}, page


def test_every_remedy_is_in_the_docs():
    text = (DOCS / 'reference' / 'versions.md').read_text()
    for remedy in compat.REMEDIES + loading.REMEDIES + compat.MODEL_REMEDIES:
        assert re.search(rf'\b{remedy.__name__}\b', text), remedy


def test_the_start_takes_less_than_ten_commands():
    code = ''.join(code for kind, code in blocks('start.md') if kind == 'bash')
    clone = 1
    assert clone + len(code.replace('\\\n', '').splitlines()) < 10


@pytest.mark.parametrize(
    'page',
    [page for page in PAGES if any(kind == 'python' for kind, _ in blocks(page))],
)
def test_python(page, place):
    skip_without_library(page)
    for kind, code in blocks(page):
        name = kind == 'python' and write(place, code)
        if kind != 'python' or name in MADE_BY_COMMANDS:
            continue
        if is_config(code):
            build(Config.fromfile(name).get('model', {}))
        elif name is None:
            exec(code, {})
        elif code.startswith('name = ', code.index('\n') + 1):
            assert load_spec(name).methods
        else:
            module = importlib.import_module(name[:-3])
            tests = [
                value for key, value in vars(module).items() if key.startswith('test_')
            ]
            assert bool(tests) == name.startswith('test_')
            for test in tests:
                test()


def build(model):
    """Build a cohort without the weights of its members."""
    if not re.match(r"(<class ')?mmdckd\.", str(model.get('type'))):
        return
    if model.get('teacher') is not None:
        model.update(teacher_ckpt=None, allow_random_teacher=True)
        teachers = model.teacher
        for teacher in teachers if isinstance(teachers, list) else [teachers]:
            teacher.pop('pretrained', None)
    for key in ('pretrained', 'new_head'):
        (model.get('architecture') or {}).pop(key, None)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        MODELS.build(model)


@pytest.mark.slow
@pytest.mark.parametrize(
    'page', [page for page in PAGES if any(kind == 'bash' for kind, _ in blocks(page))]
)
def test_commands(page, place):
    skip_without_library(page)
    environment = dict(
        os.environ,
        PATH=os.pathsep.join(
            [str(place / 'bin'), os.path.dirname(sys.executable), os.environ['PATH']]
        ),
        PYTHONPATH=str(ROOT),
        CUDA_VISIBLE_DEVICES='',
    )
    (place / 'bin').mkdir()
    # Like the installed script, it does not import from the current folder.
    entry = place / 'bin' / 'entry.py'
    entry.write_text('from mmdckd.cli.main import main\n\nraise SystemExit(main())\n')
    # What is installed is not installed again; neither MIM, a cluster nor a
    # screen is at hand.
    for name, script in dict(
        mmdckd=f'exec python {entry} "$@"',
        make='test "$*" = .venv/installed',
        mim='test "$1" = install || '
        'python tools/train.py $(find -L configs -name "$3") "${@:4}"',
        **{'xdg-open': 'test -f "$1"'},
        srun='for last; do :; done; test "$last" = --resume',
    ).items():
        path = place / 'bin' / name
        path.write_text(f'#!/bin/bash\n{script}\n')
        path.chmod(0o755)
    # The first page is followed with the Python that users have.
    if page != 'start.md':
        (place / 'bin' / 'python').symlink_to(warm.python())
    ran, exports = 0, ''
    for kind, code in blocks(page):
        if kind == 'python':
            write(place, code)
        elif kind == 'bash':
            code = exports + code.replace('source .venv/bin/activate', '')
            exports = ''.join(re.findall(r'^export .*\n', code, re.M))
            process = subprocess.run(
                ['bash', '-e', '-c', code],
                cwd=place,
                env=environment,
                capture_output=True,
                text=True,
            )
            printed = process.stdout + process.stderr
            assert process.returncode == 0, f'{code}\n{printed[-3000:]}'
            ran += 1
    assert ran
