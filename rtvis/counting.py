"""Numbers of things in words, for screens and terminals."""


def counted(number: float, noun: str) -> str:
    """ "1 picture", "1,200 pictures"."""
    return f"{number:,.0f} {noun}{'' if number == 1 else 's'}"
