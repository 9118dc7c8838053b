// uPlot reads the browser's language as it loads, and stops at one that is no language tag: Chromium
// says en-US@posix where its computer has no locale. Numbers follow the page's language anyway.
"use strict";

Object.defineProperty(navigator, "language", { value: document.documentElement.lang });
