"""Several encoders side by side in one vector."""
