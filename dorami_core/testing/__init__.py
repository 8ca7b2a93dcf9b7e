"""Public fixtures and fakes for plugin authors; the project's own tests use nothing else."""
