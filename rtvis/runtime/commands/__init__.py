"""What keys and clicks do: pure functions from one View to the next."""
