# For any config: validates and saves the mean of the weights after each of the last
# quarter of the epochs.
custom_hooks = [dict(type='mmdckd.WeightAverageHook', average='swa')]
