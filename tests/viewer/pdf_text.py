"""The text of a PDF that Chromium has printed: as much of the format as Chromium uses."""

import re
import zlib

OBJECT = re.compile(rb"(\d+) 0 obj\n(.*?)\nendobj", re.DOTALL)
STREAM = re.compile(rb"stream\n(.*)\nendstream", re.DOTALL)
CHARACTER = re.compile(r"<(\w+)> <(\w+)>(?: <(\w+)>)?\n")
SHOWN = re.compile(rb"/(F\d+) [\d.]+ Tf|<([0-9A-F]*)> Tj")


def pdf_text(pdf):
    """What is written on all pages, in the order in which it is drawn, with blanks between strings."""
    objects = {int(number): body for number, body in OBJECT.findall(pdf)}
    pages = [body for body in objects.values() if b"/Type /Page\n" in body]
    return " ".join(_page_text(objects, page) for page in pages)


def _page_text(objects, page):
    fonts = {
        name: _characters(objects, objects[int(number)])
        for name, number in re.findall(rb"/(F\d+) (\d+) 0 R", page)
    }
    (contents,) = re.findall(rb"/Contents (\d+) 0 R", page)
    text = _stream(objects[int(contents)])
    assert text.count(b"Tj") + text.count(b"TJ") == text.count(b"> Tj"), "text that is not in hexadecimal"
    found, font = [], {}
    for name, glyphs in SHOWN.findall(text):
        if name:
            font = fonts[name]
        else:
            codes = glyphs.decode()
            found.append("".join(font[codes[at : at + 4]] for at in range(0, len(codes), 4)))
    return " ".join(found)


def _characters(objects, font):
    """What each glyph stands for."""
    (number,) = re.findall(rb"/ToUnicode (\d+) 0 R", font)
    table = _stream(objects[int(number)]).decode()
    found = {}
    for kind, rows in re.findall(r"begin(bfchar|bfrange)\n(.*?)end\1", table, re.DOTALL):
        for first, last, text in CHARACTER.findall(rows):
            if kind == "bfchar":
                found[first.upper()] = bytes.fromhex(last).decode("utf-16-be")
            else:
                for code in range(int(first, 16), int(last, 16) + 1):
                    found[f"{code:04X}"] = chr(int(text, 16) + code - int(first, 16))
    return found


def _stream(body):
    (packed,) = STREAM.findall(body)
    return zlib.decompress(packed)
