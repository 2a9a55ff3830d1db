"""The conformance kit, tested by the references, which pass it, and by deliberately wrong parts, which do not."""
