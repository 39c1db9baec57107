"""Text of reports: which face has a character, in which order it stands, how lines break."""

import pytest

from sync_server.reports.characters import is_missing, pieces, shown
from sync_server.reports.faces import SOURCES, Weight, face_of, installed
from sync_server.reports.lines import Style, line, shortened, width_of, wrapped

BODY = Style(9)


@pytest.mark.parametrize(
    ("text", "face"),
    [
        ("Zoë Ångström", "NotoSans"),
        ("Ελληνικά", "NotoSans"),
        ("Кириллица", "NotoSans"),
        ("العربية", "NotoSansArabic"),
        ("עברית", "NotoSansHebrew"),
        ("देवनागरी", "NotoSansDevanagari"),
        ("ไทย", "NotoSansThai"),
        ("日本語", "NotoSansCJKjp"),
        ("한국어", "NotoSansCJKjp"),
        ("简体中文", "NotoSansCJKjp"),
    ],
)
def test_a_script_is_set_in_the_face_that_has_it(text: str, face: str) -> None:
    assert {piece.source.name for piece in pieces(text)} == {face}
    assert not is_missing(text)
    for weight in Weight:
        assert all(glyph.number for run in line(text, Style(9, weight)).runs for glyph in run.glyphs)


@pytest.mark.parametrize(
    ("text", "is_shown_as"),
    [
        ("a\u202eb", "a[U+202E]b"),
        ("a\nb\tc\u2028d", "a b c d"),
        ("a\x00b", "a[U+0000]b"),
        ("\ue000", "[U+E000]"),
        ("\U000f0000", "[U+F0000]"),
        ("\u0378", "[U+0378]"),
        ("\U00013000", "[U+13000]"),
        ("e\u0301", "é"),
        ("<b>&amp;</b>", "<b>&amp;</b>"),
        ("soft\u00adhyphen", "softhyphen"),
    ],
)
def test_what_cannot_be_shown_is_told_by_its_code_point(text: str, is_shown_as: str) -> None:
    assert shown(text) == is_shown_as
    assert is_missing(text) is ("[U+" in is_shown_as)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("abc אבג def", ["abc ", "אבג", " def"]),
        ("אבג 12", ["12", "אבג "]),
        ("P-12 العربية", ["P-12 ", "العربية"]),
        ("אב (גד)", [")", "גד", "(", "אב "]),
        ("(אב) x", ["(", "אב", ") x"]),
    ],
)
def test_pieces_stand_as_the_bidirectional_algorithm_orders_them(text: str, order: list[str]) -> None:
    assert [piece.text for piece in pieces(text)] == order


def test_arabic_letters_are_joined() -> None:
    alone = {glyph.number for run in line("ب", BODY).runs for glyph in run.glyphs}
    joined = {glyph.number for run in line("ببب", BODY).runs for glyph in run.glyphs}
    assert joined - alone


@pytest.mark.parametrize(
    "text",
    ["word " * 40, "x" * 300, "日本語" * 60, "مرحبا " * 40, "a-very-long-code/with.marks_" * 10, "ﬀ" * 90],
)
@pytest.mark.parametrize("width", [11.0, 60.0, 140.0])
def test_no_line_is_wider_than_its_place_and_nothing_is_lost(text: str, width: float) -> None:
    lines = wrapped(text, BODY, width)
    assert max(each.width for each in lines) <= width
    assert "".join(each.text for each in lines).replace(" ", "") == text.replace(" ", "")


def test_a_word_that_fits_a_line_is_not_broken() -> None:
    width = width_of("examiner", BODY) + 0.1
    assert [each.text for each in wrapped("À examiner", BODY, width)] == ["À", "examiner"]


def test_what_is_too_long_ends_in_an_ellipsis() -> None:
    cut = shortened("participant " * 20, BODY, 100)
    assert cut.width <= 100
    assert cut.text.endswith("…")
    assert wrapped("word " * 40, BODY, 60, 2)[-1].text.endswith("…")
    assert wrapped("", BODY, 60)[0].width == 0


def test_a_bold_face_is_bolder_and_both_can_be_embedded() -> None:
    regular, bold = (face_of(SOURCES[0], weight) for weight in Weight)
    glyph = line("n", BODY).runs[0].glyphs[0].number
    assert bold.advance(glyph) > regular.advance(glyph)
    assert regular.cut([glyph]) != bold.cut([glyph])
    assert regular.cut([glyph]) == regular.cut([glyph])


def test_the_fonts_come_from_packages() -> None:
    assert {source.package for source in installed()} == {"manimgx_fonts", "manimgx_fonts_cjk"}
