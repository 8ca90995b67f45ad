"""What a compressed frame says of its own size, read before a decoder allocates for it.

A file of one kilobyte may hold a JPEG 2000 header of 12,000 x 12,000: decoders believe it and allocate.
"""

from __future__ import annotations

import struct

_SOI = b"\xff\xd8"  # ISO 10918-1 B.1.1.3, ISO 14495-1
_SOC_SIZ = b"\xff\x4f\xff\x51"  # ISO 15444-1 A.4.1, A.5.1: SIZ follows SOC at once
# ISO 10918-1 B.1.1.3: SOF0 to SOF15 but DHT, JPG and DAC; ISO 14495-1: SOF55
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC} | {0xF7})
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})


def frame_size(codestream: bytes) -> tuple[int, int, int]:
    """Rows, columns and bits per sample as a JPEG, JPEG-LS or JPEG 2000 codestream declares them.

    Raises:
        ValueError: the codestream is none of these or ends before it says so.
    """
    try:
        if codestream.startswith(_SOC_SIZ):
            right, bottom, left, top = struct.unpack_from(">4I", codestream, 8)
            return bottom - top, right - left, (codestream[42] & 0x7F) + 1
        if codestream.startswith(_SOI):
            return _jpeg_frame_size(codestream)
    except (struct.error, IndexError) as exc:
        raise ValueError("the codestream ends inside its header") from exc
    raise ValueError("the codestream is neither JPEG, JPEG-LS nor JPEG 2000")


def _jpeg_frame_size(codestream: bytes) -> tuple[int, int, int]:
    position = 2
    while codestream[position] == 0xFF:
        marker = codestream[position + 1]
        if marker == 0xFF:  # B.1.1.2: fill byte
            position += 1
        elif marker in _STANDALONE:
            position += 2
        elif marker in _START_OF_FRAME:
            precision, rows, columns = struct.unpack_from(">BHH", codestream, position + 4)
            return rows, columns, precision
        else:
            position += 2 + int(struct.unpack_from(">H", codestream, position + 2)[0])
    raise ValueError("the codestream has no start of frame")
