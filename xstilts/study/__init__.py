"""What a sweep answers to the question of its file: registered, computed, shown, checked."""
