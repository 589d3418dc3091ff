# SPDX-License-Identifier: Apache-2.0
"""What a front end calls. It gets data back; sentences, tables and exit codes are the front end's."""
