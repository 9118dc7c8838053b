"""What a page did from its first byte on: asked for, weighed, complained of."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import ConsoleMessage, Page, Request


@dataclass
class Watch:
    page: Page
    complaints: list[str] = field(default_factory=list)  # errors, warnings, refusals of the policy
    asked: list[Request] = field(default_factory=list)
    weight: float = 0  # bytes over the wire

    def __post_init__(self) -> None:
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request))
        wire = self.page.context.new_cdp_session(self.page)
        wire.send("Network.enable")
        wire.on("Network.loadingFinished", self._weigh)

    @property
    def strangers(self) -> list[str]:
        """Addresses outside this machine that it asked."""
        return [one.url for one in self.asked if urlsplit(one.url).hostname != "127.0.0.1"]

    def _hear(self, told: ConsoleMessage) -> None:
        if told.type not in ("error", "warning", "verbose"):  # Chromium's advice is verbose
            return
        pages = {one.url for one in self.asked if one.is_navigation_request()}
        if told.location["url"] in pages and "the server responded with a status" in told.text:
            return  # the page itself is an error's: Chromium notes that as well
        self.complaints.append(f"{told.type}: {told.text}")

    def _weigh(self, loaded: dict[str, Any]) -> None:
        self.weight += loaded["encodedDataLength"]
