"""What of SIP nobody upstairs can do without."""

PORT = 5060  # of UDP and TCP, when nobody names one (RFC 3261 section 19.1.2)
