# Copyright (c) mmdckd contributors. All rights reserved.
"""The report of real runs, in a real browser."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from PIL import Image

from helpers import browser
from helpers.commands import REPO, run_tool
from helpers.networks import network
from helpers.runs import run_config, train
from mmdckd.cli import report

pytestmark = pytest.mark.slow

#: In the order of the page; the first three are unfolded.
UNFOLDED = ['decision', 'accuracy', 'examples']
SECTIONS = [
    *UNFOLDED,
    'comparison',
    'confusions',
    'losses',
    'weights',
    'entropy',
    'correlation',
    'agreement',
    'calibration',
    'metrics',
    'cost',
    'config',
    'environment',
]
#: What has no end in HTML.
VOID = ('meta', 'link', 'img', 'br')
needs_browser = pytest.mark.skipif(
    browser.PATH is None, reason='no browser of the family of Chromium'
)


def what_the_shipped_configs_record():
    """What the runtime of the guide to configs adds, for a report that has all."""
    runtime = Config.fromfile(Path(REPO, 'configs/_base_/default_runtime.py'))
    hooks = ('cohort_summary', 'cohort_statistics')
    return dict(
        custom_hooks=[runtime.default_hooks[name].to_dict() for name in hooks],
        log_processor=runtime.log_processor.to_dict(),
        visualizer=runtime.visualizer.to_dict(),
    )


@pytest.fixture(scope='module')
def work_dirs(tmp_path_factory):
    """A cohort, another without a teacher, and a network alone."""
    folder = tmp_path_factory.mktemp('report')
    added = what_the_shipped_configs_record()
    cohort = run_config(folder, **added)
    # What a report shows as text must not become a part of its page.
    cohort.note = '<script>document.title = "injected"</script>'
    other = run_config(folder, **added)
    other.model.update(teacher=None, allow_random_teacher=False)
    other.model.distiller.collective_losses.loss_dckd.update(
        alpha=0.0, ramp=dict(end=1)
    )
    alone = run_config(folder, val_cfg=dict(), default_hooks=dict())
    alone.model = network()
    for cfg in (cohort, other, alone):
        cfg.default_hooks.logger = dict(type='LoggerHook', interval=2)
    return [train(cfg).work_dir for cfg in (cohort, other, alone)]


@pytest.fixture(scope='module')
def single(work_dirs):
    printed = run_tool('report.py', work_dirs[0])
    report = Path(work_dirs[0]) / 'report' / 'report.html'
    assert str(report) in printed
    return report


@pytest.fixture(scope='module')
def several(work_dirs, tmp_path_factory):
    out = tmp_path_factory.mktemp('report')
    run_tool(
        'report.py', *work_dirs, '--names', 'DCKD', 'no teacher', 'alone', '--out', out
    )
    return out / 'report.html'


class Page(HTMLParser):
    """What a report refers to and how it is nested."""

    def __init__(self, path):
        super().__init__()
        self.refers, self.ids, self.open, self.text = [], [], [], []
        self.images, self.folded, self.tags = [], [], set()
        self.feed(path.read_text())
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        self.refers += [attrs[key] for key in ('src', 'href') if key in attrs]
        if 'id' in attrs:
            self.ids.append(attrs['id'])
        if tag == 'img':
            self.images.append(attrs)
        if tag == 'details':
            self.folded.append(attrs['id'])
            assert 'open' not in attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize('report', ['single', 'several'])
def test_is_whole_in_one_file(report, request):
    page = Page(request.getfixturevalue(report))
    assert page.ids == SECTIONS
    assert page.folded == SECTIONS[len(UNFOLDED) :]
    assert all(address.startswith('data:') for address in page.refers)
    assert 'script' not in page.tags
    assert len(page.images) > 12
    for image in page.images:
        assert len(image['alt']) > 10, image['alt']
    assert Path(request.getfixturevalue(report)).stat().st_size < 5e6


def test_its_facts_are_those_of_the_log_and_the_predictions(single, work_dirs):
    """Computed again, by nothing of the package."""
    (path,) = Path(work_dirs[0]).glob('*/vis_data/scalars.json')
    log = [json.loads(line) for line in path.read_text().splitlines()]
    epochs = [record for record in log if 'student0/accuracy/top1' in record]
    value = max(
        record[f'{name}/accuracy/top1']
        for record in epochs
        for name in ('student0', 'student1')
    )
    best, student = next(
        (record, name)
        for record in epochs
        for name in ('student0', 'student1')
        if record[f'{name}/accuracy/top1'] == value
    )
    epoch, teacher = best['step'], best['teacher/accuracy/top1']
    text = re.sub(r'\s+', ' ', ' '.join(Page(single).text))
    assert f'Use {student}, epoch {epoch} : {value:.1f} % ; the teacher has ' in text
    assert f'the teacher has {teacher:.1f} %, with ' in text
    assert f'{Path(work_dirs[0]) / "best.pth"}' in text

    with np.load(path.parent / 'best_statistics.npz') as file:
        arrays = dict(file)
    assert arrays['step'] == epoch
    members = list(arrays['members'])
    right = arrays['top'] == arrays['labels']
    own, ensemble = right[members.index(student)], right[members.index('ensemble')]
    wrong = (~right[[members.index(f'student{i}') for i in range(2)]]).sum(0)
    top = arrays['top'][:2]
    for title, count in (
        (f'Sure and right: {student}', own.sum()),
        (f'Sure and wrong: {student}', (~own).sum()),
        ('their ensemble is right', (ensemble & (wrong >= 1)).sum()),
        ('Students disagree', (top[0] != top[1]).sum()),
    ):
        said = f'{count} images' if count > 1 else '1 image' if count else 'none'
        assert f'{title} ( {said}' in text.replace('(', '( '), (title, said)
    assert right.mean(1)[members.index(student)] == pytest.approx(value / 100)


def test_figures_are_files_too(single, several):
    drawn = {path.name for path in (single.parent / 'figures').iterdir()}
    assert {
        f'{single.parents[1].name}_{name}.png'
        for name in (
            'accuracy',
            'losses',
            'weights',
            'entropy',
            'correlation',
            'correlation-less-teacher',
            'correlation-less-target',
            'correlation-epochs',
            'agreement',
            'agreement-epochs',
            'calibration',
            'calibration-epochs',
            'metrics',
        )
    } == drawn
    other = {path.name for path in (several.parent / 'figures').iterdir()}
    assert 'no_teacher_correlation-less-target.png' in other
    assert {name for name in other if name.startswith('alone')} == {
        'alone_accuracy.png',
        'alone_losses.png',
        'alone_metrics.png',
    }
    for path in (single.parent / 'figures').iterdir():
        image = np.asarray(Image.open(path).convert('L'))
        assert min(image.shape) > 200 and (image < 128).mean() > 0.002, path


def test_says_what_the_run_was(single, several):
    text = ' '.join(Page(single).text)
    for part in (
        '2 students, DCKDLoss (teacher, collective, correlation)',
        'ResNet_CIFAR (34)',
        'loss_dckd.collective: student1',
        "type='mmdckd.CollectiveDistill'",
        'System environment',
        'images a second',
    ):
        assert part in text, part
    text = ' '.join(Page(several).text)
    for part in (
        'model.distiller.collective_losses.loss_dckd.ramp.end',
        'This run has none.',
        '1 student, no distillation',
    ):
        assert part in text, part


@needs_browser
@pytest.mark.parametrize(
    'report, width', [('single', 1300), ('several', 1600), ('several', 420)]
)
def test_browser_shows_all_of_it(report, width, request, tmp_path):
    report = request.getfixturevalue(report)
    with browser.Browser(tmp_path / 'profile') as page:
        page.open(report, width)
        assert page.requested()[0] == report.as_uri()
        assert all(address.startswith('data:') for address in page.requested()[1:])
        folded = 'document.querySelector("#calibration img").checkVisibility()'
        assert not page.evaluate(folded)
        page.evaluate('document.querySelectorAll("details").forEach(d => d.open = 1)')
        assert page.evaluate(folded)
        assert page.complaints() == []
        assert 'injected' not in page.evaluate('document.title')
        images = page.evaluate(
            'Array.from(document.images, image => [image.naturalWidth, '
            'image.clientWidth, image.alt])'
        )
        assert len(images) >= 12
        for natural, shown, alt in images:
            assert natural >= 12 and 0 < shown <= width and alt
        # Nothing has to be scrolled for sideways.
        assert page.evaluate('document.documentElement.scrollWidth') <= width
        page.screenshot(tmp_path / 'shot.png')
        shot = np.asarray(Image.open(tmp_path / 'shot.png').convert('RGB'))
        bounds = page.evaluate(
            'Array.from(document.querySelectorAll("section, details"), section => '
            '{const r = section.getBoundingClientRect(); '
            'return [section.id, r.top + scrollY, r.bottom + scrollY]})'
        )
        assert [name for name, _, _ in bounds] == SECTIONS
        for name, top, bottom in bounds:
            part = Image.fromarray(shot[round(top) : round(bottom)])
            assert len(part.getcolors(1 << 24)) > 20, f'{name} is blank'


@needs_browser
def test_prints_config_and_environment_too(single, tmp_path):
    with browser.Browser(tmp_path / 'profile') as page:
        page.open(single)
        visible = 'document.querySelector("#config pre").checkVisibility()'
        assert not page.evaluate(visible)
        page.call('Emulation.setEmulatedMedia', media='print')
        assert page.evaluate(visible)
        page.print_to(tmp_path / 'report.pdf')
    assert (tmp_path / 'report.pdf').read_bytes().startswith(b'%PDF')


@needs_browser
def test_the_browser_test_can_fail(single, tmp_path):
    """A page that asks for something, and an image that is broken, are
    seen."""
    text = single.read_text()
    text = re.sub('<meta http-equiv.*?>', '', text)
    text = text.replace(
        '</main>',
        '<img src="http://127.0.0.1:9/a.png">'
        '<img src="data:image/png;base64,AAAA"></main>',
    )
    broken = tmp_path / 'broken.html'
    broken.write_text(text)
    with browser.Browser(tmp_path / 'profile') as page:
        page.open(broken)
        assert 'http://127.0.0.1:9/a.png' in page.requested()
        assert page.complaints()
        assert page.evaluate(
            'Array.from(document.images, image => image.naturalWidth)'
        )[-2:] == [0, 0]


def test_what_it_cannot_read_is_said_in_one_line(work_dirs, tmp_path, capsys):
    (tmp_path / 'file').touch()
    for arguments, fault in (
        (
            [work_dirs[0], '--out', tmp_path / 'file'],
            'Invalid `--out`: expected a folder',
        ),
        ([tmp_path], 'Invalid `WORK_DIR`: expected the work_dir of a run'),
        ([tmp_path / 'file'], 'Invalid `WORK_DIR`: expected the work_dir of a run'),
        ([work_dirs[0], '--names', 'a', 'b'], 'expected 1 names, one per run, got 2'),
        ([work_dirs[0], work_dirs[0]], '2 runs have the name'),
    ):
        with pytest.raises(SystemExit) as error:
            report.main([*map(str, arguments)])
        assert fault in str(error.value) + capsys.readouterr().err
