"""What everybody upstairs stands on: no SIP, no configuration."""
