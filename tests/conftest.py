# SPDX-License-Identifier: Apache-2.0
"""What all tests stand on."""

from __future__ import annotations

import signal

# Under nohup or as a background job the suite is started with signals ignored, which the programs it
# starts would inherit; tests are about what these do with signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
for _number in (signal.SIGHUP, signal.SIGTERM):
    signal.signal(_number, signal.SIG_DFL)
