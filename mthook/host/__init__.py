# SPDX-License-Identifier: Apache-2.0
"""This host's libvirt: its domains, its capabilities, its definitions."""
