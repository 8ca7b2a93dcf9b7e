"""The two pluggy markers."""

import pluggy

PROJECT = "dorami"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
