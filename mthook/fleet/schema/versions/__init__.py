# SPDX-License-Identifier: Apache-2.0
"""The steps, a module each."""
