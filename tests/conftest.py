"""What holds for all tests."""

from hypothesis import settings

# How long an example takes is measured by the benches; on a busy machine it says nothing.
settings.register_profile("shoal", deadline=None)
settings.load_profile("shoal")
