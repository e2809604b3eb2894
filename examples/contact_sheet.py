"""Draw the README's picture: simulated patients of both embedded cohorts, normal and with each finding alone.

Usage: .venv/bin/python examples/contact_sheet.py docs/images/cohorts.png
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from synthcohort.phantoms import chest, head

SEED, PATIENTS, PREVALENCE = 11, 1500, 0.05
SIDE, MARGIN, TITLE = 256, 4, 22
COLUMNS = 7


def alone(plan: pd.DataFrame, findings: list[str], finding: str) -> pd.Series:
    """Say which rows show this finding and no other."""
    return (plan[findings].sum(axis=1) == 1) & (plan[finding] == 1)


def head_tiles() -> list[tuple[str, np.ndarray]]:
    """Draw one slice per finding, at the level of the ventricles, in the brain window."""
    findings = [finding.name for finding in head.FINDINGS]
    plan = head.plan_images(PATIENTS, SEED, PREVALENCE)
    tiles = []
    for finding in [head.FINDINGS[-1], *head.FINDINGS[:-1]]:
        rows = plan[alone(plan, findings, finding.name)]
        drawing = head.draw_images(rows.iloc[:60], SIDE, SEED)
        bit = findings.index(finding.name)
        area = ((drawing.masks >> bit) & 1).sum((1, 2))
        # A clear example, not the clearest: normal slices at mid-level, lesions of the larger third.
        order = np.abs(rows.iloc[:60]["slice_position_mm"].to_numpy() - 65) if bit == 5 else -area
        chosen = np.argsort(order, kind="stable")[len(order) // 10]
        tiles.append((finding.display, np.clip(drawing.images[chosen] / 80, 0, 1)))
    return tiles


def chest_tiles() -> list[tuple[str, np.ndarray]]:
    """Draw one radiograph per finding, with as few others as the label model gives."""
    findings = [finding.name for finding in chest.FINDINGS]
    plan = chest.plan_images(PATIENTS, SEED, PREVALENCE)
    tiles = []
    for bit, finding in enumerate(chest.FINDINGS):
        rows = plan[plan[finding.name] == 1]
        rows = rows.loc[rows[findings].sum(axis=1).sort_values(kind="stable").index[:12]]
        drawing = chest.draw_images(rows, SIDE, SEED)
        area = ((drawing.masks >> bit) & 1).sum((1, 2))
        chosen = np.argsort(-area, kind="stable")[len(area) // 4]
        tiles.append((finding.display, drawing.images[chosen]))
    return tiles


def main() -> None:
    """Write the sheet as PNG."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", type=Path)
    path = parser.parse_args().path
    tiles = chest_tiles() + head_tiles()
    step, height = SIDE + MARGIN, SIDE + MARGIN + TITLE
    sheet = Image.new("L", (COLUMNS * step - MARGIN, -(-len(tiles) // COLUMNS) * height - MARGIN), 255)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    for place, (title, image) in enumerate(tiles):
        x, y = place % COLUMNS * step, place // COLUMNS * height
        pen.text((x + SIDE / 2, y + TITLE / 2), title, 0, font, anchor="mm")
        sheet.paste(Image.fromarray((np.clip(image, 0, 1) * 255).astype(np.uint8)), (x, y + TITLE))
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, optimize=True)


if __name__ == "__main__":
    main()
