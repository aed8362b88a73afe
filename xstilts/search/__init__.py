"""Search: Optuna proposes, Ray Tune executes, the store and the journal remember."""
