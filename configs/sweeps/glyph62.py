# Glyph62 at 32x32, for a GPU; the other sweeps of Glyph62 use 16x16.
#   python tools/sweep.py configs/sweeps/glyph62.py --only resnet56_resnet20/dist
_base_ = '../_base_/sweeps/methods.py'

name = 'glyph62'
about = """
Glyph62 at 32x32, 60 epochs. Each of three pairs of networks is trained with each
method.
"""

_pairs = [('resnet56', 'resnet20'), ('resnet32x4', 'resnet8x4'), ('wrn40_2', 'wrn16_2')]
teachers = {
    _teacher: dict(config=f'configs/teachers/{_teacher}_glyph62.py')
    for _teacher, _ in _pairs
}
pairs = {
    f'{_teacher}_{_student}': dict(
        config=f'configs/_base_/pairs/glyph62/{_teacher}_{_student}.py',
        teacher=_teacher,
    )
    for _teacher, _student in _pairs
}
