"""What holds for every test here."""

from hypothesis import settings

# A busy machine is no failure: pytest-timeout ends what hangs.
settings.register_profile("vecrec", deadline=None)
settings.load_profile("vecrec")
