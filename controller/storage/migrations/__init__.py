"""The history of the tables, told forward only: one file a revision, `versions/r<number>_<what it brings>.py`."""
