# Copyright (c) mmdckd contributors. All rights reserved.
"""Tell classes of the same name apart."""

from collections import Counter
from typing import List, Sequence


def distinct_names(names: Sequence[str]) -> List[str]:
    """Add the label to the name of each class that shares its name with another.

    Two classes of ImageNet, for example, are ``crane``: a bird and a machine.

    Args:
        names (Sequence[str]): The names of the classes in the order of labels.

    Returns:
        List[str]: As many names, all different.

    Examples:
        >>> distinct_names(['crane', 'dog', 'crane'])
        ['crane (0)', 'dog', 'crane (2)']
    """
    found = list(names)
    # Twice, if a new name is that of another class.
    while len(set(found)) < len(found):
        counts = Counter(found)
        found = [
            f'{name} ({label})' if counts[name] > 1 else name
            for label, name in enumerate(found)
        ]
    return found
