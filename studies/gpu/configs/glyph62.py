# Copyright (c) mmdckd contributors. All rights reserved.
# Glyph62 at 32x32: 12,000 images train, of every class the same number.
_base_ = 'recipe.py'

import os  # noqa: E402 isort: skip

_small = os.environ.get('GPU_STUDY_DEVICE') == 'cpu'

train_dataloader = dict(dataset=dict(subset=128 if _small else 12000))
val_dataloader = dict(dataset=dict(subset=62 if _small else 3000))
if _small:
    test_dataloader = dict(dataset=dict(subset=62))
