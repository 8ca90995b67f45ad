"""What the picture says in words, and the scale of its colours."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw

from core.records import Outcome
from core.wording import RIGHT_OR_WRONG, percent
from ml.heat import FAINTEST, colour_bar
from ml.regions import LEVEL
from ml.words import BODY, HEADLINE, LARGE, SMALL, Colour, Column

BACKGROUND: Colour = (16, 18, 22)
TEXT: Colour = (236, 239, 244)
MUTED: Colour = (176, 184, 196)
AMBER: Colour = (255, 196, 84)
# Orange and blue: told apart by colour-blind readers too.
_ACCENT: dict[Outcome, Colour] = {Outcome.POSITIVE: (255, 142, 74), Outcome.NEGATIVE: (94, 190, 230)}

_PADDING = 10
_BAR = 14


@dataclass(frozen=True, slots=True)
class Caption:
    outcome: Outcome
    probability: float
    threshold: float
    model: str
    version: str
    intended_use: str
    warnings: tuple[str, ...]
    """Plain sentences."""
    label: str = "pneumonia"
    left_side: str = ""
    """The side of the patient at the image's left edge as DICOM abbreviates it, such as ``R``; empty where unknown."""
    feedback_url: str = ""
    """Where readers say whether this is right; no line without one."""

    @property
    def peak(self) -> float:
        """The share of the colours that the map's peak gets: a clearly negative image, whose map is mere noise scaled
        up, stays grey."""
        return min(1.0, self.probability / self.threshold)

    @property
    def accent(self) -> Colour:
        return _ACCENT[self.outcome]


def banner(width: int, margin: int, caption: Caption, *, mapped: bool, outlined: bool) -> Image.Image:
    """As wide as the page: the answer at the left, the scale of the colours at the right, warnings and the way to
    feedback under both.

    Args:
        mapped: the picture has a heat map.
        outlined: half of the map's peak is drawn as a line.
    """
    half = (width - 3 * margin) // 2
    answer = Column(margin, half, _PADDING)
    answer.line(f"{caption.label.capitalize()}: {caption.outcome.value.upper()}", HEADLINE, caption.accent, bold=True)
    answer.line(f"Certainty that it is present: {percent(caption.probability)}", LARGE, TEXT)
    reached = "Reaches" if caption.outcome is Outcome.POSITIVE else "Below"
    answer.line(f"{reached} the operating point: positive from {percent(caption.threshold)}", BODY, TEXT)
    answer.line(f"Model {caption.model}, version {caption.version}", SMALL, MUTED)

    scale = Column(2 * margin + half, half, _PADDING + 6)
    bar_top = scale.y
    if mapped:
        scale.y += _BAR + 4
        scale.mark("0", 0.0, MUTED)
        scale.mark(f"{100 * FAINTEST:.0f} %", FAINTEST, MUTED)
        scale.mark("100 % of the map's peak", 1.0, MUTED)
        if outlined:
            scale.mark(f"{100 * LEVEL:.0f} %", LEVEL, TEXT)
        scale.y += round(SMALL * 1.7)
    scale.line(_about_the_map(caption, mapped=mapped, outlined=outlined), SMALL, MUTED)

    warnings = Column(margin, width - 2 * margin, max(answer.y, scale.y) + 4)
    for warning in caption.warnings:
        warnings.line(f"Warning: {_sentence(warning)}", BODY, AMBER)
    if caption.feedback_url:
        warnings.line(f"{RIGHT_OR_WRONG} {caption.feedback_url}", SMALL, MUTED)

    canvas = Image.new("RGB", (width, warnings.y + _PADDING), BACKGROUND)
    draw = ImageDraw.Draw(canvas)
    draw.rectangle((0, 0, width, 3), fill=caption.accent)
    if mapped:
        canvas.paste(Image.fromarray(colour_bar(half, _BAR)), (scale.left, bar_top))
        if outlined:
            x = scale.left + round(LEVEL * half)
            draw.line((x, bar_top - 3, x, bar_top + _BAR + 2), fill=TEXT, width=2)
    for column in (answer, scale, warnings):
        column.draw(canvas)
    return canvas


def _about_the_map(caption: Caption, *, mapped: bool, outlined: bool) -> str:
    if not mapped:
        return "Grad-CAM gave an empty map: no place speaks for the finding."
    colour = f"Colour tells where the score for {caption.label} came from (Grad-CAM)"
    if outlined:
        return f"{colour}; the white line follows half of its peak. Neither is the outline of a lesion."
    faded = ""
    if caption.peak < 1:
        rest = f"at most {100 * caption.peak:.0f} %" if caption.peak > FAINTEST else "none is left"
        faded = f" Below the operating point colours fade: {rest} here."
    return f"{colour}, not the outline of a lesion.{faded}"


def _sentence(text: str) -> str:
    """With a capital and a full stop: findings are written without."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
