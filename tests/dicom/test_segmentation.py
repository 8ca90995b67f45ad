"""The segmentation, held against dciodvfy and read back by pydicom and highdicom."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from highdicom.seg import segread
from pydicom.uid import ExplicitVRLittleEndian

from core.records import Region
from dicom import codes, segmentation
from dicom.case import Case
from dicom.envelope import write
from dicom.identity import device_uid, is_own_result, tracking_uid
from tests.dicom.sources import ANALYSES, CREATED, MODEL, reread
from tests.dicom.test_results import INTENDED_USE, SOURCES, dciodvfy

REGION = Region(((10.0, 12.0), (50.0, 12.0), (50.0, 44.0), (10.0, 44.0)))


def case_of(source: str = "clean", region: Region | None = REGION) -> Case:
    return Case(SOURCES[source], ANALYSES["positive"], MODEL, INTENDED_USE, CREATED, region)


@pytest.mark.parametrize("source", ["clean", "dirty", "bare", "japanese"])
def test_dciodvfy_finds_nothing(source: str, tmp_path: Path) -> None:
    assert dciodvfy(segmentation.build(case_of(source)), tmp_path) == []


def test_the_mask_is_the_pixels_whose_middle_lies_inside() -> None:
    expected = np.zeros((60, 80), np.bool_)
    expected[12:44, 10:50] = True
    np.testing.assert_array_equal(segmentation.mask_of(REGION, 60, 80), expected)
    shifted = Region(tuple((x + 0.4, y - 0.4) for x, y in REGION.points))
    np.testing.assert_array_equal(segmentation.mask_of(shifted, 60, 80), expected)
    np.testing.assert_array_equal(segmentation.mask_of(Region(REGION.points[::-1]), 60, 80), expected)
    beyond = Region(((-5.0, -5.0), (200.0, -5.0), (200.0, 200.0), (-5.0, 200.0)))
    assert segmentation.mask_of(beyond, 60, 80).all()
    triangle = segmentation.mask_of(Region(((0.0, 0.0), (80.0, 0.0), (0.0, 60.0))), 60, 80)
    assert abs(triangle.sum() - 2400) <= 40
    assert triangle[0, 78]
    assert not triangle[59, 1]


@pytest.mark.parametrize("source", ["clean", "dirty"])  # 480 x 500 and 60 x 80: neither a multiple of 32 bits
def test_highdicom_reads_back_mask_and_meaning(source: str) -> None:
    case = case_of(source)
    content = write(segmentation.build(case))
    again = segread(BytesIO(content))
    np.testing.assert_array_equal(
        again.pixel_array.astype(np.bool_), segmentation.mask_of(REGION, case.source.rows, case.source.columns)
    )
    (segment,) = again.SegmentSequence
    assert (segment.SegmentAlgorithmType, segment.SegmentAlgorithmName) == ("AUTOMATIC", MODEL.name)
    assert again.get_tracking_ids() == [
        ("AI pneumonia", tracking_uid(case.source.sop_instance_uid, device_uid(MODEL), "pneumonia"))
    ]
    assert again.segmented_property_types == [codes.PNEUMONIA]
    assert segment.AnatomicRegionSequence[0].CodeValue == codes.LUNG.value
    images = again.get_source_image_uids()
    source_image = case.source
    assert images == [
        (source_image.study_instance_uid, source_image.series_instance_uid, source_image.sop_instance_uid)
    ]
    assert again.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert is_own_result(reread(content))


def test_a_legal_orientation_is_kept_and_no_other() -> None:
    assert segmentation.build(case_of("clean")).PatientOrientation == SOURCES["clean"].dataset.PatientOrientation
    assert segmentation.build(case_of("dirty")).PatientOrientation == ""


def test_only_a_case_with_a_region_has_one() -> None:
    with pytest.raises(ValueError, match="needs a region"):
        segmentation.build(replace(case_of(), region=None))


def test_the_same_case_makes_the_same_bytes() -> None:
    assert write(segmentation.build(case_of("japanese"))) == write(segmentation.build(case_of("japanese")))
