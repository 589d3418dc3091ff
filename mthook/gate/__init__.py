# SPDX-License-Identifier: Apache-2.0
"""A proxy on libvirt's RPC socket that gives domains on their way to libvirtd the machine type they are pinned to."""
