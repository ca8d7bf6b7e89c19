"""RFC 3261 section 16: requests, targets, forwarding, the response context."""
