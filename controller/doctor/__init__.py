"""What could be wrong, looked for: `facts.py` looks, `checks.py` judges, `mac.py` lists what only a Mac can show."""
