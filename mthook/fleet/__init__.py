# SPDX-License-Identifier: Apache-2.0
"""The shared record of many hosts, in a database of its own. Each host writes what concerns itself, and reads all."""
