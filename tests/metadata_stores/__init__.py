"""Metadata stores on real engines."""
