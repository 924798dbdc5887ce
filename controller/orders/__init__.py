"""What may be ordered of a running controller, and where there is what to see: two tables, and the one way in. The API,
the control socket, the command line, the page's buttons, the policy and the audit's names are made from them.

The tables need the standard library alone: the command line starts with them.
"""
