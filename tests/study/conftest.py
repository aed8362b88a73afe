"""The browser of the report's page, for the study's."""

from __future__ import annotations

from ..report.test_page_in_browser import browser

__all__ = ["browser"]
