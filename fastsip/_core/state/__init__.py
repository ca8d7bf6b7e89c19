"""What one shard has in hand: memory, outbox, counters, events."""
