"""What a trial will do, known before a GPU is touched: mixtures, stages, fingerprints, cost."""
