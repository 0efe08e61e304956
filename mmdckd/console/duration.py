# Copyright (c) mmdckd contributors. All rights reserved.
def duration(seconds: float) -> str:
    """Format a duration for people.

    Args:
        seconds (float): The duration in seconds, 0 or more.

    Returns:
        str: Such as ``'12 min 34 s'``.
    """
    seconds = round(seconds)
    if seconds < 60:
        return f'{seconds} s'
    if seconds < 3600:
        return f'{seconds // 60} min {seconds % 60:02d} s'
    return f'{seconds // 3600} h {seconds % 3600 // 60:02d} min'
