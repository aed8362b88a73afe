"""Reports: tables and pictures of a sweep, from its trials' records alone."""
