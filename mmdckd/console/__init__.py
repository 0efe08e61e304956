# Copyright (c) mmdckd contributors. All rights reserved.
"""What a person reads of a command. Nothing here imports the toolbox before
a console is opened."""
