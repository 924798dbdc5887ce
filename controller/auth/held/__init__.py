"""What the holders hold, kind by kind: `auth/holders.py` puts them together."""
