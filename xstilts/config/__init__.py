"""The sweep file: schema, search space, recipes, loading with all problems at once."""
