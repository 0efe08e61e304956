# The CRD benchmark on CIFAR-100. To run one method of one pair:
#   python tools/sweep.py configs/sweeps/cifar100.py --only vgg13_vgg8/dist
_base_ = '../_base_/sweeps/methods.py'

name = 'cifar100'
about = """
CIFAR-100 with the schedule, the images and the augmentation of the CRD benchmark: 240
epochs, with the same images for validation and test. Each of 13 pairs of networks is
trained with each method. The weights of the losses are those of configs/_base_/methods.
On this data, the authors use others: here, DKD has beta 8, WKD those of ImageNet,
and KD weights 1 and 1 in place of 0.1 and 0.9.
"""

_pairs = [
    ('wrn40_2', 'wrn16_2'),
    ('wrn40_2', 'wrn40_1'),
    ('resnet56', 'resnet20'),
    ('resnet110', 'resnet20'),
    ('resnet110', 'resnet32'),
    ('resnet32x4', 'resnet8x4'),
    ('vgg13', 'vgg8'),
    ('vgg13', 'mobilenetv2'),
    ('resnet50', 'mobilenetv2'),
    ('resnet50', 'vgg8'),
    ('resnet32x4', 'shufflenetv1'),
    ('resnet32x4', 'shufflenetv2'),
    ('wrn40_2', 'shufflenetv1'),
]
teachers = {
    _teacher: dict(config=f'configs/teachers/{_teacher}_cifar100.py')
    for _teacher, _ in _pairs
}
pairs = {
    f'{_teacher}_{_student}': dict(
        config=f'configs/_base_/pairs/cifar100/{_teacher}_{_student}.py',
        teacher=_teacher,
    )
    for _teacher, _student in _pairs
}
