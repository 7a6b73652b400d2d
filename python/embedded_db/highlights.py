"""Where the words of a query lie in a text that was found."""

from dataclasses import dataclass

from .arguments import whole_argument

__all__ = ["Highlight"]


@dataclass(frozen=True)
class Highlight:
    """A text of a node, and where the words lie in it that were looked for.

    Attributes:
        property: the property that the text is a value of.
        item: its place where the property is a list, else None.
        text: the whole text.
        spans: where each word begins and ends, as ``text[begin:end]`` counts: in code points,
            ascending.

    Examples:
        >>> _ = db.create_chat().add_message("Rust has low latency")
        >>> [result] = db.query(text_query={"query": '"low latency"'})
        >>> result.highlights[0].spans
        ((9, 12), (13, 20))
    """

    property: str
    item: int | None
    text: str
    spans: tuple[tuple[int, int], ...]

    def snippet(
        self, length: int = 160, *, before: str = "**", after: str = "**", gap: str = "…"
    ) -> str:
        """Give the part of the text that has the most of the words, with these marked.

        Args:
            length: about how many characters of the text; a word that was found is never cut.
            before: what stands before each word that was found.
            after: what stands behind it.
            gap: what stands where text was left out.

        Raises:
            InvalidInput: ``length`` is not a whole number of 1 or more.

        Examples:
            >>> from embedded_db import Highlight
            >>> text = "One fish two fish red fish blue fish"
            >>> highlight = Highlight("title", None, text, ((18, 21), (27, 31)))
            >>> highlight.snippet(14, before="<", after=">")
            '…<red> fish <blue>…'
        """
        whole_argument("length", length)
        begin, end = self._window(length)
        parts, at = [gap if begin > 0 else ""], begin
        for start, stop in self.spans:
            if begin <= start and stop <= end:
                parts += [self.text[at:start], before, self.text[start:stop], after]
                at = stop
        parts += [self.text[at:end], gap if end < len(self.text) else ""]
        return "".join(parts)

    def _window(self, length: int) -> tuple[int, int]:
        """Choose the part with the most of the words, and room on both sides."""
        text, spans = self.text, self.spans
        if len(text) <= length:
            return 0, len(text)
        best, most, last = (0, min(len(text), length)), 0, 0
        for first, (start, stop) in enumerate(spans):
            last = max(last, first)
            while last + 1 < len(spans) and spans[last + 1][1] - start <= length:
                last += 1
            if last - first + 1 > most:
                best, most = (start, max(stop, spans[last][1])), last - first + 1
        room = length - (best[1] - best[0])
        begin = max(0, best[0] - max(0, room) // 2)
        end = min(len(text), max(best[1], begin + length))
        begin = min(best[0], max(0, end - length))
        # Words at the ends are whole.
        while 0 < begin < best[0] and not text[begin - 1].isspace():
            begin += 1
        while best[1] < end < len(text) and not text[end].isspace():
            end -= 1
        return begin, end
