"""Sessions that keep what the page needs of a visitor, and no copy of the page.

Gradio keeps for each session the configuration of every component with the last values that went in and came out of
it, so that a deep link could show the page again as it was. This page has no deep links, and a program that asks its
endpoints is a new session with each request; so the copies cost more time than the model takes for a picture, over
100 KB for each of hundreds of sessions, and they hold on to answers that nobody asks for again.
"""

from copy import copy
from types import SimpleNamespace
from typing import Any

from gradio import blocks, route_utils, state_holder
from gradio.state_holder import SessionState

_NO_PAGE: Any = SimpleNamespace(default_config=SimpleNamespace(blocks={}), blocks={})


class _Nothing(dict[int, Any]):
    """Takes configurations and keeps none."""

    def __setitem__(self, key: int, value: Any) -> None:
        pass


class LeanSession(SessionState):
    """Gradio's session, less what it keeps for deep links."""

    def __init__(self, page: Any):
        super().__init__(_NO_PAGE)
        self.blocks_config = copy(page.default_config)
        self.config_values = _Nothing()

    def _update_config(self, key: int) -> None:
        pass

    def _update_value_in_config(self, key: int, value: Any) -> None:
        pass


def keep_sessions_lean() -> None:
    """Make this process' Gradio use this class for every session."""
    for module in (state_holder, route_utils, blocks):
        vars(module)[SessionState.__name__] = LeanSession
