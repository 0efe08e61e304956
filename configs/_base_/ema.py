# Over any config: an exponential moving average of the weights is what is
# validated and saved.
custom_hooks = [dict(type='mmdckd.WeightAverageHook', average='ema')]
