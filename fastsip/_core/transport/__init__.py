"""Sockets, our addresses, names of next hops."""
