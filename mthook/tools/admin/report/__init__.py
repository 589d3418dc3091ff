# SPDX-License-Identifier: Apache-2.0
"""``report``: one page, or one screen of text, for the person who decides."""
