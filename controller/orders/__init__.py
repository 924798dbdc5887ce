"""What may be ordered of a running controller: one table, from which the API, the control socket, the command line, the
page's buttons and the audit's names are made. Standard library only: the command line starts with it.
"""
