"""Tiny real language models, made on the spot: for the first answer without a download, and for the tests."""
