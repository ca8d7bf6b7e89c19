"""What peers bring back for us: branch, hint, token, loop value."""
