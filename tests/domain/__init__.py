"""The rules, without a log: property tests have no deadline, since the cores are shared."""

from hypothesis import settings

settings.register_profile("shared cores", deadline=None)
settings.load_profile("shared cores")
