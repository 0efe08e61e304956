# Copyright (c) mmdckd contributors. All rights reserved.
