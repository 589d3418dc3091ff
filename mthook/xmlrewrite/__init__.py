# SPDX-License-Identifier: Apache-2.0
"""The XML pipeline: domain XML in, domain XML out, and what was changed in words."""
