"""Minimal Excel workbooks, as spreadsheets and libraries write them."""

from __future__ import annotations

import datetime
import io
import zipfile
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_LINK = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_TYPES = """<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">
<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>
<Default Extension="xml" ContentType="application/xml"/></Types>"""
_STYLES = f"""<styleSheet xmlns="{_MAIN}"><cellXfs count="3"><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="22"/>
</cellXfs></styleSheet>"""


class Raw(str):
    """A cell's attributes and content, as XML."""


def workbook(sheets: Mapping[str, Sequence[Sequence[Any]] | str], hidden: Sequence[str] = ()) -> bytes:
    """A workbook of these sheets: rows of cells (None leaves a cell out), or a sheet's data as XML."""
    target = io.BytesIO()
    names = list(sheets)
    states = ["hidden" if name in hidden else "visible" for name in names]
    listed = "".join(
        f'<sheet name="{escape(name)}" sheetId="{n}" state="{state}" r:id="rId{n}"/>'
        for n, (name, state) in enumerate(zip(names, states, strict=True), 1)
    )
    links = "".join(
        f'<Relationship Id="rId{n}" Type="{_LINK}/worksheet" Target="worksheets/sheet{n}.xml"/>'
        for n in range(1, len(names) + 1)
    )
    rels = "http://schemas.openxmlformats.org/package/2006/relationships"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{rels}"><Relationship Id="rId1" Type="{_LINK}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{_MAIN}" xmlns:r="{_LINK}"><sheets>{listed}</sheets></workbook>',
        )
        archive.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{rels}">{links}</Relationships>')
        archive.writestr("xl/styles.xml", _STYLES)
        for n, name in enumerate(names, 1):
            given = sheets[name]
            data = given if isinstance(given, str) else "".join(_row(r, row) for r, row in enumerate(given, 1))
            archive.writestr(
                f"xl/worksheets/sheet{n}.xml",
                f'<worksheet xmlns="{_MAIN}"><sheetData>{data}</sheetData></worksheet>',
            )
    return target.getvalue()


def _row(number: int, cells: Sequence[Any]) -> str:
    inside = "".join(
        f'<c r="{chr(65 + column)}{number}"{_cell(cell)}</c>' for column, cell in enumerate(cells) if cell is not None
    )
    return f'<row r="{number}">{inside}</row>'


def _cell(cell: Any) -> str:
    if isinstance(cell, Raw):
        return cell
    if isinstance(cell, bool):
        return f' t="b"><v>{int(cell)}</v>'
    if isinstance(cell, datetime.datetime):
        return f' s="2"><v>{(cell - datetime.datetime(1899, 12, 30)) / datetime.timedelta(days=1)}</v>'
    if isinstance(cell, datetime.date):
        return f' s="1"><v>{(cell - datetime.date(1899, 12, 30)).days}</v>'
    if isinstance(cell, (int, float)):
        return f"><v>{cell}</v>"
    if str(cell).startswith("#"):
        return f' t="e"><v>{cell}</v>'
    return f' t="inlineStr"><is><t>{escape(str(cell))}</t></is>'
