# Copyright (c) mmdckd contributors. All rights reserved.
"""A file that does not fit is refused, whichever way it comes in."""

import pytest
import torch

from helpers.networks import PREPROCESSOR, build, distil, network
from mmdckd.io.checkpoints import class_names_in, describe_content, require_fit


def plain(depth=18, **kwargs):
    torch.manual_seed(0)
    return build(**network(depth, **kwargs), data_preprocessor=dict(PREPROCESSOR))


def save(model, path, **content):
    torch.save(dict(state_dict=model.state_dict(), **content), path)
    return str(path)


def without_teacher(num_students=2, **kwargs):
    return distil(
        num_students,
        teacher=None,
        distiller=dict(type='mmdckd.CollectiveDistiller'),
        **kwargs,
    )


@pytest.fixture(scope='module')
def cohorts():
    return {count: without_teacher(count) for count in (1, 2, 3)}


def refusal(model, state_dict):
    with pytest.raises(ValueError, match='^Invalid `load_from`: expected') as error:
        require_fit(model, state_dict, '`load_from`', 'a.pth')
    return str(error.value)


def test_what_is_in_a_file(cohorts):
    assert (
        describe_content(cohorts[2].state_dict())
        == 'a cohort of 2 (student0, student1)'
    )
    assert (
        describe_content(plain().state_dict())
        == 'a network (backbone, head; 10 classes)'
    )


def test_a_plain_student_for_a_cohort(cohorts):
    message = refusal(cohorts[2], plain().state_dict())
    assert 'got those of a network (backbone, head; 10 classes)' in message
    assert 'missing from the file: architecture.students.student0' in message
    assert 'unknown to the network: backbone.conv1.weight' in message
    assert '`model.architecture.pretrained`' in message
    assert '`new_head=True`' in message


@pytest.mark.parametrize('wanted, there', [(3, 2), (1, 2)])
def test_another_number_of_students(cohorts, wanted, there):
    message = refusal(cohorts[wanted], cohorts[there].state_dict())
    assert f'--cfg-options model.num_students={there}' in message


def test_students_of_other_names(cohorts):
    other = without_teacher(students=dict(main=network(), wide=network()))
    message = refusal(cohorts[2], other.state_dict())
    assert "`model.students` are ['main', 'wide']" in message


def test_a_cohort_for_a_plain_network(cohorts):
    message = refusal(plain(), cohorts[2].state_dict())
    assert 'tools/export_student.py' in message
    assert '--student student0' in message


def test_another_number_of_classes_or_network():
    message = refusal(plain(), plain(num_classes=7).state_dict())
    assert 'head.fc.weight: (7, 32) in the file, (10, 32)' in message
    assert '`new_head=True`' in message
    message = refusal(plain(), plain(34).state_dict())
    assert 'unknown to the network: backbone.layer1.2.conv1' in message
    assert 'of this architecture' in message


@pytest.mark.parametrize(
    'content, got',
    [([1], 'got a list'), ({'head.fc.weight': 3}, "got a int under 'head.fc.weight'")],
)
def test_what_is_no_state_dict(content, got):
    assert got in refusal(plain(), content)


def test_what_may_be_lacking_is_told():
    before = plain().state_dict()
    lacking = {k: v for k, v in before.items() if not k.startswith('head.')}
    lines = require_fit(plain(), lacking, 'it', 'a.pth', may_lack=('head.',))
    assert lines == ['2 missing from the file: head.fc.weight; head.fc.bias']
    with pytest.raises(ValueError, match='missing from the file: head.fc'):
        require_fit(plain(), lacking, 'it', 'a.pth', may_lack=('backbone.',))


@pytest.mark.parametrize(
    'content, names',
    [
        (dict(meta=dict(dataset_meta=dict(classes=['cat', 'dog']))), ('cat', 'dog')),
        (dict(meta=dict(dataset_meta=None)), None),
        (dict(meta='of another project'), None),
        ({}, None),
    ],
)
def test_class_names(content, names):
    assert class_names_in(content) == names


# --------------------------------------------------------------------------- #
#                        A start from a plain checkpoint                      #
# --------------------------------------------------------------------------- #


def test_students_start_from_a_plain_network_with_a_new_head(tmp_path):
    source = plain(num_classes=7)
    path = save(source, tmp_path / 'plain.pth')
    start = dict(pretrained=path, new_head=True)
    model = without_teacher(architecture=network(**start))
    heads = []
    for student in model.cohort.students.values():
        for key, value in student.state_dict().items():
            if key.startswith('backbone'):
                assert torch.equal(value, source.state_dict()[key]), key
        heads.append(student.head.fc.weight)
    assert heads[0].shape == (10, 32)
    assert 0.005 < heads[0].std() < 0.02  # MMPretrain's own start of a head
    assert not torch.equal(*heads)
    with pytest.raises(ValueError, match='`architecture`.*\n.*head.fc.weight'):
        without_teacher(architecture=network(pretrained=path))
    # Another backbone is no other head.
    with pytest.raises(ValueError, match='(?s)Invalid.*layer1.2'):
        without_teacher(architecture=network(34, **start))


def test_new_head_needs_weights_and_a_student():
    with pytest.raises(ValueError, match='`architecture.new_head`: expected False'):
        without_teacher(architecture=network(new_head=True))
    with pytest.raises(ValueError, match='`teacher.new_head`'):
        distil(teacher=network(pretrained='a.pth', new_head=True))


def backbone_from(path, **kwargs):
    cfg = network()
    cfg['backbone']['init_cfg'] = dict(type='Pretrained', checkpoint=path, **kwargs)
    return without_teacher(architecture=cfg)


def test_a_backbone_from_a_whole_network(tmp_path):
    source = plain(num_classes=7)
    path = save(source, tmp_path / 'plain.pth')
    model = backbone_from(path, prefix='backbone')
    for key, value in source.backbone.state_dict().items():
        own = model.cohort.students['student1'].backbone.state_dict()[key]
        assert torch.equal(own, value), key
    with pytest.raises(ValueError, match="prefix`: expected .*got 'bone.'"):
        backbone_from(path, prefix='bone')
    # Without the prefix nothing would be loaded.
    with pytest.raises(
        ValueError, match='^Invalid `model.architecture.backbone.init_cfg`'
    ):
        backbone_from(path)


@pytest.mark.parametrize('depth, key', [(34, 'layer1.2'), (50, 'conv3')])
def test_a_backbone_from_another_network(tmp_path, depth, key):
    cfg = network(depth)
    cfg['head']['in_channels'] = 128 if depth == 50 else 32
    path = save(
        build(**cfg, data_preprocessor=dict(PREPROCESSOR)), tmp_path / 'other.pth'
    )
    with pytest.raises(ValueError, match=f'(?s)Invalid.*{key}'):
        backbone_from(path, prefix='backbone')


def test_a_backbone_may_start_without_what_does_not_start_at_random(tmp_path):
    weights = plain().backbone.state_dict()
    weights = {k: v for k, v in weights.items() if not k.startswith('bn1.')}
    weights['fc.weight'] = torch.ones(2, 2)  # as files of torchvision have
    torch.save(weights, tmp_path / 'backbone.pth')
    backbone_from(str(tmp_path / 'backbone.pth'))


def test_a_cohort_of_fewer_students_is_no_start(tmp_path, cohorts):
    path = save(cohorts[2], tmp_path / 'two.pth')
    with pytest.raises(ValueError, match='model.num_students=2'):
        without_teacher(3, init_cfg=dict(type='Pretrained', checkpoint=path))


class WithNote(torch.nn.Linear):
    """Keeps more than tensors in its state."""

    def get_extra_state(self):
        return dict(version=1)

    def set_extra_state(self, state):
        self.note = state


def test_what_a_module_keeps_beside_its_tensors_is_loaded():
    network = WithNote(2, 2)
    state = network.state_dict()
    assert require_fit(network, state, '`load_from`', 'a.pth') == []
    assert network.note == dict(version=1)
    state['weight'] = torch.zeros(3, 2)
    assert '1 shapes differ: weight: (3, 2) in the file' in refusal(network, state)
