# SPDX-License-Identifier: Apache-2.0
"""The fleet's record in real database servers."""
