"""Public fixtures and fakes for plugin authors; the project's own tests use nothing else.

In a `conftest.py`: `pytest_plugins = ["dorami_core.testing.fixtures"]`, with `trio_mode = true` in the configuration.
"""
