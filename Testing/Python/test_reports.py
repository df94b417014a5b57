"""The templates of all reports: what is text stays text, and nothing that they show may be missing."""

import jinja2
import pytest

from SparseVolumeReconstructionLib import reports

PNG = bytes.fromhex("89504e470d0a1a0a")
HOSTILE = "<script>alert('\"&')</script>"


def findings(**changed) -> str:
    content = {
        "title": HOSTILE,
        "question": HOSTILE,
        "tables": [{"title": HOSTILE, "header": [HOSTILE], "rows": [("", [HOSTILE])], "note": HOSTILE}],
        "figures": [{"title": HOSTILE, "png": PNG, "note": HOSTILE}],
        "notes": [HOSTILE],
    }
    return reports.render("findings", **content | changed)


def test_text_is_never_markup():
    text = findings()
    assert "<script" not in text and text.count("&lt;script&gt;") == 11
    escaped = "&lt;script&gt;alert(&#39;&#34;&amp;&#39;)&lt;/script&gt;"
    assert f'<img alt="{escaped}" src="data:image/png;base64,iVBOR' in text


def test_a_page_carries_its_style_and_its_language():
    text = findings()
    assert text.startswith('<!doctype html>\n<html lang="en">') and "max-width: 1060px" in text
    assert "{#" not in text and "{%" not in text and 'charset="utf-8"' in text


def test_what_is_missing_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="note"):
        findings(figures=[{"title": "x", "png": PNG}])


def test_every_template_is_sound():
    names = sorted(path.name for path in reports.TEMPLATES.glob("*.html"))
    pages = ["batch.html", "case.html", "evaluation.html", "findings.html"]
    assert names == sorted([*pages, "base.html", "parts.html"])
    for name in names:
        reports._environment().get_template(name)
