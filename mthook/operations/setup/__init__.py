# SPDX-License-Identifier: Apache-2.0
"""From an installed package to a watched or protected host, and back: what there is, what is to be done, doing it."""
