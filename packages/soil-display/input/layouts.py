#!/usr/bin/env python3
"""Writes layouts.ml: what the keys of keyboards type, as libxkbcommon says (Debian: libxkbcommon0
and xkb-data, whose licence is MIT's).

    ./layouts.py > layouts.ml && dune build @_build/default/fmt --auto-promote

A layout is a list of keys with tabs between them: evdev code, flags, a space, and the characters of
the levels: plain, Shift, AltGr, Shift and AltGr. Flags: `a`: Caps Lock exchanges the first two
levels; `b`: and the other two; `n`: only while Num Lock is on. A dead key is its combining
character; U+0000 is none.

Many layouts differ from another one by some keys. They are written as the name of that layout and
the keys in which they differ.
"""

import ctypes
import sys

# The names are those of xkb-data; with a variant after a `:`.
LAYOUTS = (
    "us us:intl gb ie de at ch ch:fr fr be es latam pt br it nl se no dk fi is pl cz sk hu ro si hr"
    " ee lv lt tr ru ua bg gr il"
).split()
DEAD = {
    "dead_grave": 0x300,
    "dead_acute": 0x301,
    "dead_circumflex": 0x302,
    "dead_tilde": 0x303,
    "dead_macron": 0x304,
    "dead_breve": 0x306,
    "dead_abovedot": 0x307,
    "dead_diaeresis": 0x308,
    "dead_abovering": 0x30A,
    "dead_doubleacute": 0x30B,
    "dead_caron": 0x30C,
    "dead_belowdot": 0x323,
    "dead_belowcomma": 0x326,
    "dead_cedilla": 0x327,
    "dead_ogonek": 0x328,
    "dead_stroke": 0x338,
}
LAST_CODE = 127

xkb = ctypes.CDLL("libxkbcommon.so.0")
for name in ("context_new", "keymap_new_from_names", "state_new", "compose_state_new"):
    getattr(xkb, "xkb_" + name).restype = ctypes.c_void_p
xkb.xkb_compose_table_new_from_locale.restype = ctypes.c_void_p


class Names(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_char_p) for name in ("rules", "model", "layout", "variant", "options")
    ]


def keysym_name(sym):
    buffer = ctypes.create_string_buffer(64)
    xkb.xkb_keysym_get_name(sym, buffer, 64)
    return buffer.value.decode()


def character(sym):
    """The character of a keysym: printable, or that of a dead key, or 0."""
    code = DEAD.get(keysym_name(sym)) or xkb.xkb_keysym_to_utf32(sym)
    return code if code >= 0x20 and not 0x7F <= code < 0xA0 else 0


def quoted(code):
    if 0x300 <= code < 0x370 or code < 0x20 or code == 0xA0 or 0x200B <= code < 0x2010:
        return f"\\u{{{code:04X}}}"
    return {'"': '\\"', "\\": "\\\\"}.get(chr(code), chr(code))


class Keyboard:
    def __init__(self, context, layout):
        name, _, variant = layout.partition(":")
        names = Names(b"evdev", b"pc105", name.encode(), variant.encode(), b"")
        context = ctypes.c_void_p(context)
        self.keymap = xkb.xkb_keymap_new_from_names(context, ctypes.byref(names), 0)
        assert self.keymap, layout
        self.state = xkb.xkb_state_new(ctypes.c_void_p(self.keymap))
        index = lambda name: xkb.xkb_keymap_mod_get_index(ctypes.c_void_p(self.keymap), name)
        self.masks = {
            letter: 1 << index(name)
            for letter, name in {"S": b"Shift", "L": b"Lock", "N": b"Mod2", "A": b"Mod5"}.items()
        }

    def typed(self, code, modifiers):
        held = sum(self.masks[m] for m in modifiers if m in "SA")
        locked = sum(self.masks[m] for m in modifiers if m in "LN")
        state = ctypes.c_void_p(self.state)
        xkb.xkb_state_update_mask(state, held, 0, locked, 0, 0, 0)
        return character(xkb.xkb_state_key_get_one_sym(state, code + 8))

    def line(self, code):
        levels = ["", "S", "A", "SA"]
        plain = [self.typed(code, level) for level in levels]
        with_num = [self.typed(code, level + "N") for level in levels]
        with_caps = [self.typed(code, level + "L") for level in levels]
        flags = ""
        if with_num[0] != plain[0]:
            plain, flags = [with_num[0]], "n"
        elif with_caps != plain:
            if with_caps[:2] == [plain[1], plain[0]]:
                flags = "a"
            if with_caps[2:] == [plain[3], plain[2]] and plain[2] != plain[3]:
                flags += "b"
        # AltGr changes nothing on many keys.
        if plain[2:] == plain[:2]:
            plain = plain[:2]
        while plain and not plain[-1]:
            plain.pop()
        return f"{code}{flags} " + "".join(map(quoted, plain)) if plain else None


def compositions(context):
    """Strings of a base, what a dead key makes of it, for each dead key."""
    table = xkb.xkb_compose_table_new_from_locale(ctypes.c_void_p(context), b"en_US.UTF-8", 0)
    state = ctypes.c_void_p(xkb.xkb_compose_state_new(ctypes.c_void_p(table), 0))
    bases = [chr(c) for c in range(0x20, 0x7F)] + [chr(c) for c in range(0xA1, 0x180)]
    bases += [chr(c) for c in range(0x386, 0x3CF)]
    for name, code in DEAD.items():
        dead = xkb.xkb_keysym_from_name(name.encode(), 0)
        pairs = []
        for base in [chr(code)] + bases:
            xkb.xkb_compose_state_reset(state)
            xkb.xkb_compose_state_feed(state, dead)
            keysym = dead if base == chr(code) else xkb.xkb_utf32_to_keysym(ord(base))
            xkb.xkb_compose_state_feed(state, keysym)
            if xkb.xkb_compose_state_get_status(state) == 2:  # XKB_COMPOSE_COMPOSED
                buffer = ctypes.create_string_buffer(16)
                xkb.xkb_compose_state_get_utf8(state, buffer, 16)
                made = buffer.value.decode()
                if len(made) == 1:
                    pairs.append(quoted(ord(base)) + quoted(ord(made)))
        yield code, pairs


def rows(pieces, width):
    row = ""
    for piece in pieces:
        if len(row) + len(piece) > width:
            yield row
            row = ""
        row += piece
    yield row.removesuffix("\\t")


def changes(base, keys):
    """The keys that replace those of `base`, or None if the layout lacks one of them."""
    if base.keys() - keys.keys():
        return None
    return [line for code, line in keys.items() if base.get(code) != line]


def main():
    out = sys.stdout
    context = xkb.xkb_context_new(0)
    out.write("(* Generated by layouts.py: do not edit. *)\n")
    out.write("\n(* Name, the name of the layout that it changes, or none, and its keys. *)\n")
    out.write("let layouts =\n  [\n")
    before = {"": {}}
    for layout in LAYOUTS:
        keyboard = Keyboard(context, layout)
        lines = {code: keyboard.line(code) for code in range(1, LAST_CODE + 1)}
        keys = {code: line for code, line in lines.items() if line}
        found = [(changes(other, keys), name) for name, other in before.items()]
        own, base = min((c for c in found if c[0] is not None), key=lambda c: len("".join(c[0])))
        # A space at the beginning of a row would be left out.
        text = "\\\n       ".join(rows((line + "\\t" for line in own), 86))
        out.write(f'    ("{layout}", "{base}",\n      "{text}");\n')
        before[layout] = keys
    out.write("  ]\n")
    out.write("\n(* A dead key, and each character with what the two make. *)\n")
    out.write("let compositions =\n  [\n")
    for code, pairs in compositions(context):
        text = "\\\n       ".join(rows(pairs, 70))
        out.write(f'    (0x{code:x},\n      "{text}");\n')
    out.write("  ]\n")


main()
