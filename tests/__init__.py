"""The tests of vecrec."""
