"""The kit on every wrong part: collected by name only, by `tests.testing.test_wrong_parts`, which expects failures."""
