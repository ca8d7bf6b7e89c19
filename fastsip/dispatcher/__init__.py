"""What an operator does with destinations, and sees of them."""
