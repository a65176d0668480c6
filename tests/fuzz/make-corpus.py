#!/usr/bin/env python3
# Makes the archives from which fuzzing starts, one of each kind: tests/fuzz/make-corpus.py tests/fuzz/corpus
# SPDX-License-Identifier: GPL-2.0-or-later
import bz2, gzip, lzma, os, sys

BLOCK = 512

def octal(value, size):
    return b"%0*o" % (size - 1, value) + b"\0"

def header(path, kind=b"0", size=0, link=b"", mode=0o644, mtime=octal(10**9, 12), magic=b"ustar\0" b"00", rest=b"", prefix=b""):
    block = (path.ljust(100, b"\0")[:100] + octal(mode, 8) + octal(1000, 8) + octal(1000, 8) + octal(size, 12) + mtime + b" " * 8
             + kind + link.ljust(100, b"\0")[:100] + magic.ljust(8, b"\0") + b"\0" * 64 + octal(1, 8) + octal(3, 8))
    block += (rest or prefix.ljust(155, b"\0"))
    block = block.ljust(BLOCK, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]

def pad(data):
    return data + b"\0" * (-len(data) % BLOCK)

def entry(path, data=b"", **more):
    return header(path, size=len(data), **more) + pad(data)

def pax(*records, kind=b"x"):
    text = b""
    for record in records:
        size = len(record) + 3
        while len(b"%d " % size) + len(record) + 1 != size:
            size += 1
        text += b"%d %s\n" % (size, record)
    return entry(b"h", text, kind=kind)

END = b"\0" * BLOCK
OLD = b"ustar  \0"
corpus = {
    "plain": entry(b"d/", kind=b"5") + entry(b"d/a", b"one"),
    "links": entry(b"a", b"one") + header(b"h", kind=b"1", link=b"a") + header(b"s", kind=b"2", link=b"a") + header(b"t", kind=b"1", link=b"s"),
    "special": header(b"c", kind=b"3") + header(b"b", kind=b"4") + header(b"f", kind=b"6") + header(b"su", mode=0o6755),
    "names": entry(b"/abs", b"x") + entry(b"./a//b/./c", b"y") + entry(b"n" * 100, b"z", prefix=b"p/" * 20),
    "up": entry(b"a/../b", b"x"),
    "through-link": header(b"s", kind=b"2", link=b"/tmp") + entry(b"s/f", b"x"),
    "duplicates": entry(b"a", b"1") + entry(b"a/", kind=b"5") + entry(b"a/b", b"2") + entry(b"a", b"3"),
    "later": header(b"h", kind=b"1", link=b"later") + entry(b"later", b"x"),
    "pax": pax(b"path=\xe4/long", b"mtime=-1.5", b"uid=70000", b"gid=4294967294", b"size=3") + entry(b"short", b"one"),
    "global": pax(b"comment=hello", b"uid=7", kind=b"g") + entry(b"a", b"1"),
    "xattr": pax(b"SCHILY.xattr.user.a=b", b"LIBARCHIVE.xattr.user.%25=aGk", b"SCHILY.xattr.user.overlay.opaque=y") + entry(b"a", b"1"),
    "acl": pax(b"SCHILY.acl.access=user::rw-,user:x:r--:5,group::r--,mask::r--,other::---") + entry(b"a", b"1"),
    "acl-default": pax(b"SCHILY.acl.default=user::rwx,group:7:r-x,group::r-x,mask::r-x,other::---") + header(b"d", kind=b"5"),
    "gnu-long": entry(b"././@LongLink", b"l" * 150 + b"\0", kind=b"L", magic=OLD) + entry(b"l", b"1", magic=OLD)
        + entry(b"././@LongLink", b"t" * 150 + b"\0", kind=b"K", magic=OLD) + header(b"s", kind=b"2", link=b"t", magic=OLD),
    "sparse-0.0": pax(b"GNU.sparse.size=9999", b"GNU.sparse.numblocks=2", b"GNU.sparse.offset=0", b"GNU.sparse.numbytes=1",
                      b"GNU.sparse.offset=9997", b"GNU.sparse.numbytes=2") + entry(b"a", b"123"),
    "sparse-0.1": pax(b"GNU.sparse.size=9999", b"GNU.sparse.name=b", b"GNU.sparse.map=0,1,9997,2") + entry(b"a", b"123"),
    "sparse-1.0": pax(b"GNU.sparse.major=1", b"GNU.sparse.minor=0", b"GNU.sparse.name=b", b"GNU.sparse.realsize=99999")
        + entry(b"a", pad(b"2\n0\n1\n99997\n2\n") + b"123"),
    "sparse-old": header(b"a", kind=b"S", size=3, magic=OLD, rest=b"\0" * 41 + octal(0, 12) + octal(1, 12) + octal(9997, 12)
                         + octal(2, 12) + b"\0" * 48 + b"\1" + octal(9999, 12)) + pad(octal(9999, 12) + octal(0, 12)) + pad(b"123"),
    "binary-numbers": header(b"a", mtime=b"\xff" * 11 + b"\xfe") + header(b"b", mtime=b"\x80" + b"\0" * 10 + b"\x05"),
    "old": header(b"a/", kind=b"\0", magic=b"") + entry(b"a/b", b"1", kind=b"\0", magic=b""),
    "volume": header(b"label", kind=b"V", magic=OLD) + header(b"a"),
    "dumpdir": entry(b"d/", b"Ya\0\0", kind=b"D", magic=OLD) + header(b"d/a"),
    "unknown": header(b"a", kind=b"Z"),
    "whiteouts": entry(b"a/b", b"1") + header(b"a/.wh.b") + header(b".wh..wh..opq"),
    "deep": pax(b"path=" + b"d/" * 300 + b"f") + entry(b"f", b"1"),
    "root": header(b"./", kind=b"5", mode=0o700),
    "empty": b"",
}
odd = {
    "cut": corpus["plain"][:-700],
    "no-end": corpus["links"],
    "trailing": corpus["plain"] + 2 * END + b"and more",
    "zeros-inside": corpus["plain"] + END + corpus["plain"] + END,
    "no-archive": b"#!/bin/sh\n",
    "nothing": b"",
    "gzip": gzip.compress(corpus["plain"] + 2 * END, mtime=0),
    "gzip-twice": gzip.compress(corpus["plain"], mtime=0) + gzip.compress(2 * END, mtime=0),
    "xz": lzma.compress(corpus["plain"] + 2 * END),
    "bzip2": bz2.compress(corpus["plain"] + 2 * END),
}
for name, data in {**{n: d + 2 * END for n, d in corpus.items()}, **odd}.items():
    with open(os.path.join(sys.argv[1], name), "wb") as file:
        file.write(data)
