"""Figures, not tests: nothing here fails for being slow or dear."""
