"""Small files of invented movies in the formats of MovieLens. No row of MovieLens is here."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

Files = dict[str, bytes]

ONE_M: Files = {
    "README": b"invented",
    "ratings.dat": b"1::10::5::978300760\n1::20::3::978300761\n2::10::4::978300762\n2::40::1::978300700\n",
    "movies.dat": (
        "10::Invented Café, The (1995)::Comedy|Children's\n20::A::B (1950)::Drama\n"
        "30::No Year::\n40::Nobody, L' (2001)::War\n"
    ).encode("latin-1"),
    "users.dat": b"1::F::1::10::48067\n2::M::56::16::70072-1234\n3::M::25::0::X\n",
}

_FLAGS = "|".join("1" if at in (5, 8) else "0" for at in range(19))
HUNDRED_K: Files = {
    "README": b"invented",
    "u.data": b"1\t10\t5\t881250949\n2\t20\t3\t891717742\n",
    "u.item": (
        f"10|Invented Café, The (1995)|01-Jan-1995||http://example.org|{_FLAGS}\n20|unknown||||1{'|0' * 18}\n"
    ).encode("latin-1"),
    "u.user": b"1|17|F|student|85711\n2|33|M|librarian|X\n",
}

LATEST: Files = {
    "README.txt": b"invented",
    "ratings.csv": b"userId,movieId,rating,timestamp\r\n1,10,4.5,964982703\r\n2,20,0.5,964981247\r\n",
    "movies.csv": (
        'movieId,title,genres\n10,"Invented Café, The (1995)",Comedy|IMAX\n'
        '20,"Two ""quoted"" lines (2006\u20132007)",(no genres listed)\n'
    ).encode(),
}

ATOMIC: Files = {
    "ml-100k.inter": b"user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    b"1\t10\t5\t881250949\n2\t20\t3\t891717742\n",
    "ml-100k.item": (
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "10\tInvented Café, The\t1995\tComedy Drama\n20\tunkonwn\tunkonwn\tunknown\n"
    ).encode(),
    "ml-100k.user": (
        b"user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
        b"1\t17\tF\tstudent\t85711\n2\t33\tM\tlibrarian\tX\n"
    ),
}


def write(directory: Path, files: Files) -> Path:
    """The files in a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (directory / name).write_bytes(content)
    return directory


def archive(folder: str, files: Files) -> bytes:
    """The files in a zip, in a folder of it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, content in files.items():
            opened.writestr(f"{folder}/{name}", content)
    return buffer.getvalue()
