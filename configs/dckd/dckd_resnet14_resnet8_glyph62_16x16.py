# DCKD on Glyph62 at 16x16: ResNet-14 teaches four ResNet-8.
_base_ = '../_base_/pairs/glyph62_16x16/resnet14_resnet8.py'

import mmengine

model = mmengine.Config.fromfile('{{ fileDirname }}/../_base_/methods/dckd.py').model
