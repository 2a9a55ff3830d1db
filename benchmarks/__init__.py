"""Scripts that measure; each compares in one run, interleaved, and ends with one line of JSON."""
