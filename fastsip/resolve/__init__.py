"""How a name becomes the places that requests are sent to (RFC 3263), for all who have names."""
