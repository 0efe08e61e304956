# Copyright (c) mmdckd contributors. All rights reserved.
"""Networks and data that are Python objects, from end to end."""

import copy

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn

from mmdckd.easy.distillation import distill
from mmdckd.inference.network import load_network
from mmdckd.models.backbones.given_network import reset_parameters

DIGITS = load_digits()
CHOSEN = np.flatnonzero(DIGITS.target < 3)[:60]

pytestmark = pytest.mark.usefixtures('rough_figures')


class Net(nn.Module):
    def __init__(self, num_classes=3, width=8):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten()
        )
        self.scale = nn.Parameter(torch.ones(()))
        self.classifier = nn.Linear(36 * width, num_classes)

    def forward(self, images):
        return self.scale * self.classifier(self.body(images))


class Sevens(nn.Module):
    """It initializes a layer that stands in two places inside of it."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.rest = nn.Sequential(nn.Linear(3, 3), self.layer)
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.constant_(self.layer.bias, 7)


class Fixed(nn.Module):
    """Its parameters are none of a layer."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.rand(64, 3))

    def forward(self, images):
        return images.flatten(1) @ self.weight


def tensors(count=60):
    return [
        (torch.from_numpy(DIGITS.images[i]).float()[None] / 16, int(DIGITS.target[i]))
        for i in CHOSEN[:count]
    ]


def run(folder, **options):
    options = dict(
        dict(data=tensors(), student=Net(), num_students=2, epochs=1), **options
    )
    return distill(work_dir=str(folder), say=lambda line: None, **options)


@pytest.fixture(scope='module')
def teacher():
    torch.manual_seed(7)
    network = Net(width=16)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    images, labels = map(
        torch.stack, zip(*[(x, torch.tensor(y)) for x, y in tensors()])
    )
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(images), labels).backward()
        optimizer.step()
    return network


@pytest.fixture(scope='module')
def result(teacher, tmp_path_factory):
    return run(tmp_path_factory.mktemp('run'), teacher=teacher, student=Net())


def test_what_comes_out(result, teacher):
    assert isinstance(result.student, Net) and not result.student.training
    assert result.metrics['teacher/accuracy/top1'] > 90
    image = tensors()[5][0]
    (scores,) = result.predict(image)
    with torch.no_grad():
        expected = result.student(image[None])[0].softmax(0)
    assert [scores[str(i)] for i in range(3)] == pytest.approx(expected.tolist())
    assert len(result.predict(torch.stack([image, image]))) == 2
    with pytest.raises(ValueError, match='expected float tensors'):
        result.predict(Image.new('L', (8, 8)))


def test_the_teacher_is_as_it_was(result, teacher):
    weights = torch.load(f'{result.work_dir}/teacher.pth', weights_only=True)
    assert torch.equal(
        weights['backbone.module.classifier.weight'], teacher.classifier.weight
    )


@pytest.mark.parametrize(
    'make',
    [
        Sevens,
        Net,
        lambda: nn.MultiheadAttention(8, 2),
        lambda: nn.Transformer(16, 2, 1, 1, 32, batch_first=True),
    ],
    ids=['own', 'layers', 'attention', 'transformer'],
)
def test_a_reset_network_is_like_a_new_one(make):
    """The inner layers of a module were initialized last, each in its own way."""
    torch.manual_seed(0)
    new = make()
    reset = make()
    torch.manual_seed(0)
    reset_parameters(reset)
    for (key, value), expected in zip(reset.named_parameters(), new.parameters()):
        assert torch.equal(value, expected), key


@pytest.mark.slow
def test_students_start_from_seeds_of_their_own(tmp_path):
    given = Net()
    before = given.classifier.weight.clone()
    ours = run(tmp_path, student=given, lr=1e-12)
    weights = torch.load(f'{ours.work_dir}/students/epoch_1.pth', weights_only=True)
    state = weights['state_dict']
    first, second = (
        state[key] for key in sorted(state) if key.endswith('classifier.weight')
    )
    assert not torch.allclose(first, second)
    assert not torch.allclose(first, before)
    assert torch.equal(given.classifier.weight, before)


@pytest.mark.slow
def test_a_second_call_resumes(result, teacher):
    path = f'{result.work_dir}/students/epoch_1.pth'
    before = open(path, 'rb').read()
    again = run(result.work_dir, teacher=teacher, student=Net())
    assert open(path, 'rb').read() == before
    assert again.metrics == result.metrics


def test_its_weights_and_program_need_no_mmdckd(result):
    content = torch.load(result.exported.checkpoint, weights_only=True)
    network = Net()
    prefix = 'backbone.module.'
    network.load_state_dict(
        {key[len(prefix) :]: value for key, value in content['state_dict'].items()}
    )
    images = torch.stack([image for image, _ in tensors(5)])
    expected = result.student(images)
    torch.testing.assert_close(network.eval()(images), expected)
    program = torch.export.load(f'{result.work_dir}/exported/{result.name}.pt2')
    torch.testing.assert_close(program.module()(images), expected)


class Images(torch.utils.data.Dataset):
    targets = DIGITS.target[CHOSEN].tolist()
    classes = ['zero', 'one', 'two']

    def __len__(self):
        return 60

    def __getitem__(self, index):
        pixels = (DIGITS.images[CHOSEN[index]] * 15.9).astype(np.uint8)
        return Image.fromarray(pixels).resize((16, 16)), self.targets[index]


class Gray(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.body = nn.Linear(3, num_classes)

    def forward(self, images):
        return self.body(images.mean((2, 3)))


@pytest.mark.slow
def test_images_and_a_function(tmp_path):
    result = run(
        tmp_path / 'run', data=Images(), student=lambda num_classes: Gray(num_classes)
    )
    image = Images()[3][0]
    path = tmp_path / '3.png'
    image.save(path)
    array = np.array(image)
    forms = [str(path), path, image, array, torch.from_numpy(array)[None]]
    found = result.predict(forms)
    assert all(scores == found[0] for scores in found)
    assert set(found[0]) == set(Images.classes)
    assert isinstance(result.student, Gray)
    with pytest.raises(ValueError, match='Invalid `images`'):
        result.predict(array / 255)


@pytest.mark.slow
def test_a_class_is_named_by_its_path(tmp_path):
    result = run(tmp_path, student=Net)
    text = open(f'{result.work_dir}/students/students.py').read()
    assert f'{__name__}.Net' in text and 'given_network.build' not in text
    assert not result.objects


@pytest.mark.parametrize(
    'options, message',
    [
        (
            dict(student=Net(4)),
            r'`student`: expected logits .* for the 3 classes .* got \(2, 4\)',
        ),
        (
            dict(teacher=Net(4)),
            r'`teacher`: expected logits .* for the 3 classes .* got \(2, 4\)',
        ),
        (dict(student=nn.Identity()), r'`student`: .* shape \(B, C\), got'),
        (
            dict(student=nn.Linear(3, 3)),
            '`student`: expected its forward .* got an error',
        ),
        (dict(student=Fixed()), '`student`: expected a network whose copies'),
        (dict(student=Net(), pretrained=True), '`student`: expected a network whose'),
        (dict(augmentation='flip'), '`augmentation`'),
        (dict(student=lambda: Net()), '`student`: .*num_classes'),
        (dict(student=lambda num_classes: 3), '`student`: .*an nn.Module, got a int'),
    ],
)
def test_nothing_is_trained_where_it_cannot_be(tmp_path, options, message):
    with pytest.raises(ValueError, match=f'Invalid {message}'):
        run(tmp_path, **options)
    assert not list(tmp_path.iterdir())


class Started(Exception):
    """A training has started."""


def test_another_module_is_another_teacher(tmp_path, monkeypatch):
    """Its config is the same, and its weights would replace those of the run."""

    def train(*_, **__):
        raise Started

    monkeypatch.setattr('mmdckd.easy.distillation._train', train)
    teacher = Net()
    for again in (teacher, copy.deepcopy(teacher), Net()):
        with pytest.raises(Started):
            run(tmp_path, teacher=again)  # has not started
    (tmp_path / 'students').mkdir()
    (tmp_path / 'students' / 'last_checkpoint').write_text('epoch_1.pth')
    with pytest.raises(Started):
        run(tmp_path, teacher=again)
    before = (tmp_path / 'teacher.pth').read_bytes()
    with pytest.raises(ValueError, match='`work_dir`: .* another `teacher`'):
        run(tmp_path, teacher=Net())
    assert (tmp_path / 'teacher.pth').read_bytes() == before


def test_what_is_no_network(tmp_path):
    with pytest.raises(TypeError, match='Invalid `student`: .* got a int'):
        run(tmp_path, student=3)


def test_a_network_that_is_gone(result):
    cfg = Config.fromfile(result.exported.config)
    with pytest.raises(ValueError, match="given to mmdckd.distill .* got 'student'"):
        load_network(cfg, result.exported.checkpoint)


def branch(images):
    return images if images.sum() > 0 else -images


class Branching(Net):
    def forward(self, images):
        return super().forward(branch(images))


@pytest.mark.slow
def test_a_network_that_no_program_can_be_made_of(tmp_path):
    result = run(tmp_path, student=Branching())
    assert isinstance(result.student, Branching)
    assert not list((tmp_path / 'exported').glob('*.pt2'))
