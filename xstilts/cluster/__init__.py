"""Files and scripts of clusters, and what their nodes run beside Ray."""
