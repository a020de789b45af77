"""How tables may be read: the choices of the config's `data` section and of `init`."""

READ_AS = {
    "separator": ("auto", "comma", "semicolon", "tab", "bar"),
    "decimal": ("auto", "point", "comma"),
    "encoding": (
        *("auto", "utf-8", "utf-16", "windows-1252", "latin-1", "windows-1250", "windows-1251"),
        *("shift_jis", "gb18030", "big5", "euc-kr"),
    ),
}
