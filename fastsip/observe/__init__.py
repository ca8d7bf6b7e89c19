"""What anyone may look at from outside: counters and transactions, in files."""
