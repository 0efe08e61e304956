# DCKD on Glyph62: ResNet-56 teaches four ResNet-20.
_base_ = '../_base_/pairs/glyph62/resnet56_resnet20.py'

import mmengine

model = mmengine.Config.fromfile('{{ fileDirname }}/../_base_/methods/dckd.py').model
