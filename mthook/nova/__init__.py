# SPDX-License-Identifier: Apache-2.0
"""Nova's databases: the only room that reads or writes them.

The question that the hook asks is in :mod:`.question`; everything else goes through :mod:`.cells`.
"""
