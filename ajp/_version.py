"""The one version of the library and the daemon."""

__version__ = "0.1.0"
