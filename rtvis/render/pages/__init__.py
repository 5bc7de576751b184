"""What the details pane can show: one module a page, listed here in the order of the key."""

from typing import Final

from rtvis.render.pages import changes, correlation, dense, histogram, learned, moments, unit
from rtvis.render.pages.page import Page
from rtvis.session import PageName

PAGES: Final[dict[PageName, Page]] = {
    "unit": unit.PAGE,
    "learned": learned.PAGE,
    "moments": moments.PAGE,
    "dense": dense.PAGE,
    "changes": changes.PAGE,
    "histogram": histogram.PAGE,
    "correlation": correlation.PAGE,
}
