"""From templates to pages."""

from pathlib import Path

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

FOLDER = Path(__file__).parent / "web"
FILES = {
    "style.css": "text/css; charset=utf-8",
    "reader.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
"""What pages load besides images, with its media type."""

_environment = Environment(
    loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def page(name: str, status: int = 200, /, **values: object) -> HTMLResponse:
    """Fill the template NAME.html."""
    return HTMLResponse(_environment.get_template(f"{name}.html").render(**values), status)
