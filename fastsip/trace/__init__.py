"""What was said in a call, of the messages that shards saw: lines, ladders, captures, spans."""
