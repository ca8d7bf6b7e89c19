"""The process that outlives routers: it holds what they need, and sees to it that one routes, never two."""
