# SPDX-License-Identifier: Apache-2.0
"""What a change of QEMU, or of the default machine type, would do to guests."""
