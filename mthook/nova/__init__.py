# SPDX-License-Identifier: Apache-2.0
"""Nova's databases, all of them: cells, instances and what is recorded for them."""
