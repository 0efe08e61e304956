# Glyph62, a pair of networks and a method at a time:
#   METHOD=kd python tools/train.py configs/glyph62/run.py
# PAIR is a file of _base_/pairs/ and by default the one that a few cores can
# carry; METHOD is one of configs/_base_/methods/. The teacher is trained first
# (network_16x16.py, or network.py for the others).
_base_ = '_base_/pairs/{{$PAIR:resnet14_resnet8_16x16}}.py'

import mmengine  # noqa: E402 isort: skip

model = mmengine.Config.fromfile(
    '{{ fileDirname }}/../_base_/methods/{{$METHOD:dckd}}.py'
).model

work_dir = 'work_dirs/glyph62/{{$PAIR:resnet14_resnet8_16x16}}_{{$METHOD:dckd}}'
