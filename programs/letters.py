"""Which of the options A to D a text chooses, read by the order that docs/tasks.md declares."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["read_letter"]

_LATIN = "A-Za-z0-9À-ɏ"
# Words that go on speaking of a letter. Before any other word it is an article or part of what an option says, as in
# "A photon" and "C atoms".
_ON = (
    "(?:after|although|and|apply|are|as|based|because|both|but|by|cannot|can['’]t|contradicts?|corresponds|do|does"
    "|due|fails?|follows|for|from|gives|has|have|hence|holds|if|ignores?|is|isn['’]t|ist|matches|must|nor|not|only|or"
    "|oder|seems|since|so|therefore|though|thus|together|und|violates?|was|were|where|whereas|which|while|with|would)(?![a-z-])"
)
_LETTER = (
    rf"(?<![{_LATIN}'’])(?:[B-D](?! (?!{_ON})[a-zà-ɏ])|A(?! (?!{_ON}|(?i:it|since|the|this)\b)[^\W\d_])"
    rf"|[a-d](?! (?!{_ON})\w))(?![{_LATIN}'’]|-\w| ?(?:[=^+<>≈≡∝~·×/\\→]))"  # no word and no formula
)
_NAMED = rf"(?i:(?:option|choice|answer|letter) )?(?:[(\[] ?)?({_LETTER})(?: ?[)\]])?"
_MORE = rf" ?(?:, ?(?i:(?:and|or) )?|/ ?|& ?|(?i:and|or|und|oder) ){_NAMED}"
_LIST = rf"{_NAMED}(?:{_MORE}){{0,3}}"
_ONE = rf"(?P<chosen>{_NAMED})(?!{_MORE})"
# "B and D", but not "B, and D is wrong", where the second letter has a verb of its own.
_ONE_OR_MORE = rf"(?P<chosen>{_NAMED}(?:{_MORE}(?! (?!are|both|together|apply)[a-z])){{0,3}})"

_NOUN = "(?:answer|choice|option)"
_ANSWER = (
    r"(?:answers?|answer\(s\)|antwort|lösung|réponse|respuesta|risposta|resposta|ответ|odpowied[źz]|svar|antwoord"
    r"|cevap|jawaban|答案|答え|回答|解答|正解|정답|답변)"
)
_CHOICE = "(?:option|choice|letter|alternative|conclusion|solution|result|verdict|选项|選項)"
_FILLER = (
    r"(?:choice|option|letter|(?:to|for) (?:this|the|your) (?:[\w-]+ ){0,2}?(?:question|problem)|here|then|indeed|thus"
    r"|therefore|simply|actually|clearly|definitely|both|either|likely|most|probably|i think|i believe"
    r"|i(?:['’]d| would) say|(?:it|that)(?: is|['’]s)|that|la|le|el|die|correct[ae]|corretta|opción|opção|letra|lettre)"
    r"(?![\w'’])"
)
_IS = (
    r"(?:(?:is|was|(?:must|should|will|has to) be|ist|est|es|è|é|to|является)(?!\w)"
    "|应该?是|是|为|為|は|는|은|选|選)"
)
_MAYBE = "(?:(?:would|could|might|may|can)(?: be| have been)|seems?(?: to be)?|appears?(?: to be)?|looks like)"
_MARK = rf"(?:[:=>→-]{{1,3}}|\n|{_IS})"
_LINK = rf"(?:[\s:=>→,-]|\.{{3}}|{_FILLER})*"
_CHOOSE = (
    "(?:cho(?:os|s)(?:e|es|en|ing)|pick(?:s|ed|ing)?|select(?:s|ed|ing)?|go(?:ing)? with|opt(?:ing)? for"
    "|settl(?:e|ing) on|leav(?:es|ing)|left with)"
)
_RIGHT = rf"(?:(?:most |only )*(?:accurate|best|correct|right|true)|{_NOUN})(?: {_NOUN})?"

# What says that an option is the answer, and does not only mention it.
_DECLARED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?i:(?<![{_LATIN}]){_ANSWER}(?![{_LATIN}])[)\]]*(?: {_FILLER})* ?"
        rf"(?:{_MARK}|(?P<maybe>{_MAYBE})){_LINK}){_ONE_OR_MORE}",
        rf"(?i:(?<![{_LATIN}]){_CHOICE}(?![{_LATIN}]) ?{_MARK}{_LINK}){_ONE_OR_MORE}",
        rf"(?i:\b(?:correct|right|best|final|my) (?:{_CHOICE}|one)(?![{_LATIN}])(?: ?{_IS})?{_LINK}){_ONE_OR_MORE}",
        # A verb, and nothing after the letter that makes it "select A as the starting material".
        rf"(?i:\b{_CHOOSE}(?: only| just)? |[选選][择擇]? ?){_ONE}"
        rf"(?=\s*(?:[.,;:!?。-]|\Z)|\n| (?:because|since|as (?:the|my) (?:\w+ )?{_NOUN})\b)",
        rf"(?i:\b(?:(?:therefore|thus|hence|so)[,:]? (?:it is |it['’]s )?|it must be )){_ONE}(?=[.,;!\s]*(?:\n|\Z))",
        # "D is correct", but not "vitamin D is correct" and not "D is correct only for bosons".
        rf"(?:\A|[\n.,;:!?-]|\b(?i:and|but|hence|only|so|that|therefore|thus|while)\b) ?{_ONE}"
        rf"(?i: (?:is|must be) (?:clearly |the |therefore )*{_RIGHT}|(?: ?[:-])? (?:correct|right)|(?:是|为)?正确)"
        r"(?=\s*(?:[.,;:!?)(]|\Z)|\n| (?:as|because|since|and)\b)",
    )
)
_SUPPOSED = re.compile(r"\b(?:if|whether|unless|suppos\w+|assum(?:e|es|ed|ing))\b[^.,;!?\n]*\Z", re.IGNORECASE)

_NOT = (
    "(?: all| both| also| clearly| therefore)*"
    r" (?:not|wrong|incorrect|false|impossible|invalid|ruled out|eliminated|excluded|out)\b"
)
_RULED_OUT = (
    re.compile(
        r"(?i:\b(?:not|isn['’]t|wasn['’]t|neither|rather than|instead of|unlike|except(?: for)?"
        r"|rul(?:e|es|ed|ing) out|eliminat\w+|exclud\w+|reject\w*|discard\w*|dismiss\w*"
        rf"|(?:incorrect|wrong)[^.:\n]{{0,20}}:):? (?:the )?(?:options |choices )?){_LIST}(?: nor {_NAMED})*"
        r"(?i:,? (?:but(?: rather)?|rather)(?![a-z]))?"
    ),
    re.compile(
        rf"(?:{_NAMED}(?i: (?:is|was|seems|would be|does){_NOT}|(?: cannot| can['’]t| fails| violates| ignores"
        rf"| contradicts| has the wrong| isn['’]t))|{_LIST}(?i: (?:are|were|do|have){_NOT}"
        r"|(?: fail| violate| ignore| contradict| have the wrong))(?![a-z]))"
    ),
)

_FIRST = re.compile(rf"\A[\s(\[]*(?P<chosen>{_LIST})(?=\s*(?:[.:,;]|\Z|\n|- )|(?<=[)\]])| (?:because|since|as)\b)")
_ALONE = re.compile(rf"(?P<before>\A|[\n:;.!?,]) *[(\[]?(?P<chosen>{_LETTER})[)\]]?[\s.!]*\Z")
_MENTION = re.compile(
    rf"(?i:(?<![{_LATIN}])(?:{_ANSWER}|{_CHOICE})) ?[(\[]?{_LETTER}|(?<!\w)[(\[] ?{_LETTER} ?[)\]]|^{_LETTER} ?[).:]",
    re.MULTILINE,
)
_LABEL = re.compile(rf"^[(\[]?({_LETTER}) ?(?:[).:\]]|$)|(?<!\w)\(({_LETTER})\)", re.MULTILINE)

_THOUGHT = re.compile(r"\A.*</think(?:ing)?>", re.DOTALL)
_BRACE = re.compile(r"[{}]")
_BOX = re.compile(r"\\(?:boxed|fbox) ?(?=\{)")
_BOXED = re.compile(
    rf"(?i:(?:the )?(?:(?:final |correct )?answer(?: is|:)? )?){_ONE_OR_MORE}(?=\Z| ?[.):,;-]| [A-Z\d])"
)
_TAG = re.compile(r"<(/?)(?:final[ _-]?)?(?:answer|choice|option)>|\[\[ ## answer (#)# \]\]", re.IGNORECASE)
_BOLD = re.compile(r"(\*{1,3}|_{1,2}|`)([A-Da-d])\1")
_COMMAND = re.compile(r"\\(?:text\w{0,2}|math\w{2}|rm|bf|quad|[,;!])(?![A-Za-z]) ?")
_DRESS = re.compile(r"[*_`$#\"“”„«»{}]|\\[(\[)\]]|(?<!\w)['‘]|['’](?!\w)")


@dataclass(frozen=True)
class _Statement:
    """The letters that a text chooses in one place: several where it does not decide."""

    at: int
    letters: frozenset[str]


def read_letter(text: str) -> str | None:
    """Reads the letter from A to D that a text gives as its answer, whatever stands around it.

    What the text declares to be the answer counts first: a box, a tag, "the answer is", "I choose", "is correct"; the
    last such statement counts, since those before it were corrected. Then a letter alone at the end, one that the text
    begins with, "the answer would be", and an option that is the only one mentioned. An option that the text rules out
    is none of these.

    Returns:
        The letter as a capital; None where the text gives none, or does not decide between several.

    Example:
        >>> read_letter("(b)"), read_letter("The correct answer is **C) 10 eV**."), read_letter("A photon is emitted.")
        ('B', 'C', None)
        >>> read_letter("The answer is B. Option A ignores spin."), read_letter("The answer is A or B.")
        ('B', None)
    """
    plain, out = _without_ruled_out(_plain(text))
    sure = list(_declared(plain, maybe=False))
    for statements in (sure, _alone(plain), _first(plain), list(_declared(plain, maybe=True)), _only_mention(plain)):
        standing = [said for said in statements if not any(at > said.at and said.letters == {x} for at, x in out)]
        if standing:
            letters = max(standing, key=lambda said: said.at).letters
            return next(iter(letters)) if len(letters) == 1 else None
    return None


def _plain(text: str) -> str:
    """Returns the text without dress: no emphasis and no LaTeX, a box and a tag as "answer: B" on a line of its own."""
    text = _THOUGHT.sub("", unicodedata.normalize("NFKC", text))
    text = re.sub(r"[^\S\n]+", " ", re.sub(r"[‐-―−]", "-", text))
    text = _TAG.sub(lambda tag: "\n" if tag[1] else "\nanswer: ", text)
    return re.sub(r"\s*\n\s*", "\n", _undressed(_unboxed(text)))


def _undressed(text: str) -> str:
    return re.sub(" {2,}", " ", _DRESS.sub("", _COMMAND.sub("", _BOLD.sub(r"(\2)", text))))


def _unboxed(text: str) -> str:
    parts: list[str] = []
    end = 0
    for box in _BOX.finditer(text):
        if box.start() < end:
            continue  # a box in a box
        parts.append(text[end : box.start()])
        end = _closing(text, box.end())
        chosen = _BOXED.match(_undressed(_BOX.sub("", text[box.end() : end])).strip())
        parts.append(f"\nanswer: {chosen['chosen']}\n" if chosen else " ")
    return "".join((*parts, text[end:]))


def _closing(text: str, start: int) -> int:
    """Returns where the brace that opens at `start` is closed, or the end of the line if it never is."""
    depth = 0
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.end()
    return start + len(text[start:].partition("\n")[0])


def _without_ruled_out(text: str) -> tuple[str, list[tuple[int, str]]]:
    """Returns the text with blanks over the letters that it rules out, and where these stood."""
    out: list[tuple[int, str]] = []

    def blank(found: re.Match[str]) -> str:
        out.extend((found.start(), letter) for letter in _letters(found[0]))
        return " " * len(found[0])

    for pattern in _RULED_OUT:
        text = pattern.sub(blank, text)
    return text, out


def _letters(text: str) -> frozenset[str]:
    return frozenset(letter.upper() for letter in re.findall(_LETTER, text))


def _declared(text: str, *, maybe: bool) -> Iterator[_Statement]:
    for pattern in _DECLARED:
        for found in pattern.finditer(text):
            clause = text[max(0, found.start() - 200) : found.start()]
            if bool(found.groupdict().get("maybe")) is maybe and not _SUPPOSED.search(clause):
                yield _Statement(found.start("chosen"), _letters(found["chosen"]))


def _alone(text: str) -> Iterator[_Statement]:
    """Yields the letter that ends the text, unless the letter before it makes the two a list."""
    found = _ALONE.search(text)
    if found and not (found["before"] in {",", ";", "\n"} and re.search(r"\b\w[).]?\Z", text[: found.start()])):
        yield _Statement(found.start(), _letters(found["chosen"]))


def _first(text: str) -> Iterator[_Statement]:
    found = _FIRST.match(text)
    if found and not _restates_options(text):
        yield _Statement(found.start(), _letters(found["chosen"]))


def _only_mention(text: str) -> Iterator[_Statement]:
    letters = frozenset[str]().union(*(_letters(found[0]) for found in _MENTION.finditer(text)))
    if letters:
        yield _Statement(0, letters)


def _restates_options(text: str) -> bool:
    """Returns whether labels stand in the text as they do before a question's options: A, B and so on."""
    labels = "".join(found[1] or found[2] for found in _LABEL.finditer(text)).upper()
    starts = "".join(found[1] or "" for found in _LABEL.finditer(text)).upper()
    return labels.startswith("ABC") or starts.startswith("AB")
