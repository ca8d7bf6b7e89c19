"""Bytes in, offsets out, edits back (RFC 3261 sections 7, 19, 25)."""
