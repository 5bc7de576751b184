"""Lines for the user that go away by themselves."""

import logging
import time
from typing import Final

from rtvis.session import Session

_LOG = logging.getLogger(__name__)

NOTICE_S: Final = 5.0
WARNING_S: Final = 10.0


class Notices:
    """Says something, and takes it away after a while.

    Args:
        session: Where it is shown from.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._text = ""
        self._since_s = 0.0

    def say(self, text: str, is_warning: bool) -> None:
        """Show a line. From any thread."""
        _LOG.info("%s", text)
        self._session.update(notice=text, notice_is_warning=is_warning)

    def expire(self) -> None:
        """Take away what was there long enough. Always from the same thread."""
        view, _ = self._session.read()
        if view.notice != self._text:
            self._text, self._since_s = view.notice, time.monotonic()
        limit_s = WARNING_S if view.notice_is_warning else NOTICE_S
        if view.notice and time.monotonic() - self._since_s > limit_s:
            self._session.update(notice="", notice_is_warning=False)
