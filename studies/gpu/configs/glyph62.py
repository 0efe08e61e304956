# Copyright (c) mmdckd contributors. All rights reserved.
# Glyph62 at 32x32, with 12,000 training images, the same number in every class.
_base_ = 'recipe.py'

train_dataloader = dict(dataset=dict(subset=12000))
val_dataloader = dict(dataset=dict(subset=3000))
