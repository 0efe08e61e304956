# Over any config: the mean of the weights at the ends of the last quarter of
# the epochs is what is validated and saved.
custom_hooks = [dict(type='mmdckd.WeightAverageHook', average='swa')]
