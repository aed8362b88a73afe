"""Training core: model, loop, prediction. Imports torch, transformers, numpy, pyarrow only."""
