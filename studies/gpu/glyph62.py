# Copyright (c) mmdckd contributors. All rights reserved.
# Glyph62 at 32x32 with ResNet-20 students.
_base_ = 'methods.py'

_study = 'studies/gpu/configs/glyph62.py'

name = 'gpu_glyph62'
about = """
Glyph62 at 32x32, 12,000 training images, 16 epochs. ResNet-56, trained by the
same recipe, teaches ResNet-20.
"""
teachers = dict(resnet56=dict(config=['configs/teachers/resnet56_glyph62.py', _study]))
pairs = dict(
    resnet56_resnet20=dict(
        config=['configs/_base_/pairs/glyph62/resnet56_resnet20.py', _study]
    )
)
