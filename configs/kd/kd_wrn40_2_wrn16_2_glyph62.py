# KD on Glyph62: WRN-40-2 teaches WRN-16-2.
_base_ = '../_base_/pairs/glyph62/wrn40_2_wrn16_2.py'

import mmengine

model = mmengine.Config.fromfile('{{ fileDirname }}/../_base_/methods/kd.py').model
