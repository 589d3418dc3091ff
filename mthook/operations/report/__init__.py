# SPDX-License-Identifier: Apache-2.0
"""A report on one host or many, for the person who decides: figures of hosts, added up, and what follows from them."""
