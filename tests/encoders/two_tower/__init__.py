"""Tests of the two-tower encoder."""
