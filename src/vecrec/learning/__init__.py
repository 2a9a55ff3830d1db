"""What encoders and rerankers share: their base, tokens, feature maps and the training framework's setup."""

__all__: list[str] = []
