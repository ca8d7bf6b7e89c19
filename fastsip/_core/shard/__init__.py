"""The loop of one shard, its memory, recovery, commands."""
