"""Write docs/pictures/report.png: what the report of `make demo` looks like in Chromium."""

import base64
import sys
from pathlib import Path

from browser import browser

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "report.png"
# a desk's width, without the scroll bars that a desk's browser draws
SCREEN = {"width": 1216, "height": 1210, "deviceScaleFactor": 1, "mobile": True}


def main(report: Path) -> None:
    with browser() as chromium:
        chromium.open(report)
        chromium.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SCREEN)
        chromium.run("document.querySelector('details.panel').open = false")  # so that an int8 map is in view
        taken = chromium.driver.execute_cdp_cmd("Page.captureScreenshot", {})
    PICTURE.write_bytes(base64.b64decode(taken["data"]))
    print(f"{PICTURE.name}: {len(taken['data']) * 3 // 4:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
