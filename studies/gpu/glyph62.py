# Copyright (c) mmdckd contributors. All rights reserved.
# Glyph62 at 32x32 with ResNet-20 students.
_base_ = 'methods.py'

import os  # noqa: E402 isort: skip

_small = os.environ.get('GPU_STUDY_DEVICE') == 'cpu'
_shallow = ['studies/gpu/configs/shallow.py'] if _small else []

name = 'gpu_glyph62'
about = """
Glyph62 at 32x32, 12,000 training images, 16 epochs. ResNet-56, trained by the
same recipe, teaches ResNet-20.
"""
teachers = dict(
    resnet56=dict(
        config=['configs/glyph62/network.py', 'studies/gpu/configs/glyph62.py'],
        cfg_options={'model.backbone.depth': 8} if _small else {},
    )
)
pairs = {
    'resnet56_resnet20': dict(
        config=[
            'configs/glyph62/_base_/pairs/resnet56_resnet20.py',
            'studies/gpu/configs/glyph62.py',
            *_shallow,
        ]
    )
}
