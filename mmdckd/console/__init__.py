# Copyright (c) mmdckd contributors. All rights reserved.
"""Write the output of commands for people.

Nothing here imports the toolbox before a console is opened.
"""
