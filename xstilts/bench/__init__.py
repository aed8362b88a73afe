"""What this machine trains and evaluates a second, against its own matmul and against a peer."""
