"""What supervisor and router share: birth, the line between them, what a dead one was at."""
