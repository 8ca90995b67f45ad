"""Every page there is to open."""

from __future__ import annotations

from tests.pages.hospital import Hospital


def addresses(hospital: Hospital) -> list[str]:
    return [
        "/",
        "/search",
        f"/studies/{hospital.study}",
        f"/studies/{hospital.waiting_study}",
        f"/r/{hospital.image}",
        "/models",
        "/sources",
        "/dead-letters",
        "/alerts",
        "/feedback",
        "/audit",
        "/keys",
        "/account",
    ]
