"""Faults of engines and processes under load, with a model that knows every acknowledged write."""
