"""RFC 3261 section 17: machines, clocks, client and server side."""
