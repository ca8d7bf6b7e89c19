"""What every kernel stands on, and no SIP in it."""
