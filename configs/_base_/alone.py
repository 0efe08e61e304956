# A network that is trained alone, such as a teacher.
_base_ = 'default_runtime.py'

val_cfg = dict()
test_cfg = dict()

default_hooks = dict(checkpoint=dict(save_best='accuracy/top1'))
