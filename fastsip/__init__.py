"""fastsip: a SIP router for carriers."""

__version__ = "0.1.0"
