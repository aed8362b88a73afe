"""What this machine trains and evaluates a second, and which share of its own matmul that is."""
