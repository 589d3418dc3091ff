# SPDX-License-Identifier: Apache-2.0
"""What libvirtd runs: the fast path, the slow path and the installer."""
