# DCKD on Glyph62: ResNet-32x4 teaches four ResNet-8x4.
_base_ = '../_base_/pairs/glyph62/resnet32x4_resnet8x4.py'

import mmengine

model = mmengine.Config.fromfile('{{ fileDirname }}/../_base_/methods/dckd.py').model
