# SPDX-License-Identifier: Apache-2.0
"""Unmodified clients through the gate to real libvirt daemons."""
