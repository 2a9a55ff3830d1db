"""What the rooms of vecrec share, and nothing else may import."""

__all__: list[str] = []
