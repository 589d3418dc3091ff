# SPDX-License-Identifier: Apache-2.0
"""The gate as it runs, in front of a libvirtd that tests play themselves, and of real ones."""
