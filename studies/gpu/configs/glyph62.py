# Copyright (c) mmdckd contributors. All rights reserved.
# Glyph62 at 32x32: 12,000 images train, of every class the same number.
_base_ = 'recipe.py'

train_dataloader = dict(dataset=dict(subset=12000))
val_dataloader = dict(dataset=dict(subset=3000))
