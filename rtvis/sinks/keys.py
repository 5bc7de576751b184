"""Names for the key codes that an OpenCV window reports."""

_NAMED = {
    8: "backspace",
    9: "tab",
    10: "enter",
    13: "enter",
    27: "escape",
    32: "space",
    65293: "enter",
    65360: "home",
    65361: "left",
    65362: "up",
    65363: "right",
    65364: "down",
    65365: "page-up",
    65366: "page-down",
    65367: "end",
    65379: "insert",
    65421: "enter",
    65535: "delete",
    # The keypad without Num Lock.
    65429: "home",
    65430: "left",
    65431: "up",
    65432: "right",
    65433: "down",
    65434: "page-up",
    65435: "page-down",
    65436: "end",
    # Cocoa, and GTK builds that report the Windows codes.
    63232: "up",
    63233: "down",
    63234: "left",
    63235: "right",
    63273: "home",
    63275: "end",
    63276: "page-up",
    63277: "page-down",
    127: "backspace",
}

_FIRST_F_KEY = 65470
_NUM_F_KEYS = 12
_MODIFIER_CODES = range(65505, 65519)  # Shift, Control, Caps Lock, Meta, Alt, Super, Hyper

KEY_NAMES = (
    *sorted({*_NAMED.values()}),
    *(f"f{number}" for number in range(1, _NUM_F_KEYS + 1)),
    *(chr(code) for code in range(33, 127) if chr(code) == chr(code).lower()),
)
"""Every name that `key_name` gives, but for codes without one."""


def key_name(code: int) -> str | None:
    """The name of a key for `KeyEvent`; None for modifiers, which arrive as keys of their own.

    Codes that nobody has named come out as "key-<code>", so that a log can tell what was pressed.
    """
    if code in _NAMED:
        return _NAMED[code]
    if code < 0 or code in _MODIFIER_CODES:
        return None
    if _FIRST_F_KEY <= code < _FIRST_F_KEY + _NUM_F_KEYS:
        return f"f{code - _FIRST_F_KEY + 1}"
    if 33 <= code < 127:
        return chr(code).lower()
    return f"key-{code}"
