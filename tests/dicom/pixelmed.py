"""PixelMed's DicomSRValidator, which IHE AIR's Connectathon asks: unlike dciodvfy it checks templates."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from pydicom.dataset import Dataset

from dicom.envelope import write
from tests.services import missing, require_program

_JAR = Path("/usr/share/java/pixelmed.jar")  # Debian's pixelmed-apps
# Reading its rules takes seconds, so that one process asks about every report; its own command takes one file.
_PROGRAM = """
public class ValidateReports {
    public static void main(String[] paths) throws Exception {
        var validator = new com.pixelmed.validate.DicomSRValidator();
        for (String path : paths) {
            System.out.println("file " + path);
            System.out.print(validator.validate(path));
        }
    }
}
"""
# Since 2022 Java refuses rules of this size.
_LIMITS = [f"-Djdk.xml.xpath{limit}Limit=0" for limit in ("TotalOp", "ExprGrp", "ExprOp")]


def validate(reports: Mapping[str, Dataset], folder: Path) -> dict[str, list[str]]:
    """The validator's lines by name of the report. Skips the test where Java or the validator is missing."""
    if not _JAR.exists():
        missing("PixelMed's DicomSRValidator (pixelmed-apps) is not installed")
    require_program("javac")  # java compiles a single source file only where this is
    program = folder / "ValidateReports.java"
    program.write_text(_PROGRAM)
    paths = {str(folder / f"{position}.dcm"): name for position, name in enumerate(reports)}
    for path, name in paths.items():
        Path(path).write_bytes(write(reports[name]))
    command = [require_program("java"), *_LIMITS, "-XX:TieredStopAtLevel=1", "-cp", str(_JAR), str(program), *paths]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    lines: dict[str, list[str]] = {}
    for line in run.stdout.splitlines():
        if line.startswith("file "):
            lines[paths[line.removeprefix("file ")]] = found = []
        else:
            found.append(line)
    return lines
