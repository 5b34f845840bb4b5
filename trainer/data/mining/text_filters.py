"""Texts that must not be learnt: secrets, people's addresses, the leftovers of a merge."""

from __future__ import annotations

import re

# Keys and tokens in the forms that their issuers document. All are long runs of these characters, so only such runs
# are tried, which is what makes the filter cheap. A false alarm costs a task, a miss publishes a key.
_RUN = re.compile(r"[\w.+/=:~-]{16,}")
_TOKEN = re.compile(
    r"\b(?:"
    r"(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b"  # AWS
    r"|gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{22,}|gl(?:pat|dt|rt|ptt|cbt|agent)-[\w-]{20}"
    r"|xox[abeoprs]-[\w-]{10,}|xapp-\d-\w+-\d+-|hooks\.slack\.com/services/\w+/|webhook\.office\.com/webhookb2/"
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,}|\d+-\w{32}\.apps\.googleusercontent\.com"
    r"|[srp]k_(?:live|test)_[A-Za-z0-9]{16,}|whsec_\w{20,}"  # Stripe
    r"|sk-(?:ant-|proj-|or-)?[\w-]{20,}|hf_[A-Za-z0-9]{30,}|gsk_[A-Za-z0-9]{30,}|r8_[A-Za-z0-9]{30,}"
    r"|npm_[A-Za-z0-9]{36}|pypi-AgE[IN][\w-]{20,}|dckr_pat_[\w-]{20,}"
    r"|(?:do[opr]_v1|rubygems|sntryu|pul|sbp|PMAK)[-_][a-f0-9]{24,}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}|SK[a-f0-9]{32}\b|AC[a-f0-9]{32}\b|key-[a-f0-9]{32}\b"  # mail and telephony
    r"|(?:bot)?\d{8,10}:AA[\w-]{33}\b|discord(?:app)?\.com/api/(?:v\d+/)?webhooks/\d+/[\w-]{20,}"  # Telegram before it
    r"|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b"  # Shopify
    r"|GOCSPX-[\w-]{20,}|hvs\.[\w-]{24,}|dapi[a-f0-9]{32}\b|glsa_\w{32,}|sq0csp-[\w-]{30,}|lin_api_\w{32,}"
    r"|MII[\w+/]{3}IB(?:AAK[BC]|ADANBgkqhki)|MHcCAQEEI|MIGHAgEAMBMG|b3BlbnNzaC1rZXkt"  # how private keys begin
    r"|eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{5,}"  # a JSON web token
    r"|(?:Account|SharedAccess)Key=[A-Za-z0-9+/]{40,}|\w{3}\dQ~[\w.~-]{31,}"  # Azure
    r"|ATATT3[\w=-]{20,}|CLOJARS_[0-9a-f]{60}\b|[0-9a-f]{32}-us\d{1,2}\b"  # Atlassian, Clojars, Mailchimp
    r"|AGE-SECRET-KEY-1[A-Z0-9]{20,}|PuTTY-User-Key-File-\d"
    r")"
)
# What else is as random: the kind of character changes all the time, as in no name. Digests in hexadecimal do not have
# letters of both cases.
_WORD = re.compile(r"[A-Za-z0-9]{24,}")
_CHANGE = re.compile(r"[a-z][A-Z0-9]|[A-Z][0-9]|[0-9][A-Za-z]")
_DIGITS = re.compile(r"[0-9]+")
_CHARACTERS_PER_CHANGE, _NUMBERS = 4, 3  # at most; at least
_PRIVATE_KEY = re.compile(r"-{4,5} ?(?:BEGIN|END) [A-Z0-9 ]*PRIVATE KEY")
# Between these lines, where the context shows neither: lines of base64, quoted or not. Certificates look the same.
_KEY_LINES, _KEY_LINE_LENGTH = 3, 40  # at least
_KEY_LINE = re.compile(rf"[A-Za-z0-9+/]{{{_KEY_LINE_LENGTH},}}")
_AROUND_KEY_LINE = " \t\r\"'`|+-*/#.,;=()[]<>\\"  # quotes, signs of diffs, operators; a line may lose its own + and /
_PASSWORD_IN_ADDRESS = re.compile(r"(?<=\w)://[^\s/:@'\"<>{}$%]+:[^\s/:@'\"<>{}$%]+@")
# A literal given to a name that says what it holds: assigned, with or without a type; in a mapping; in a call, such as
# setPassword("…") or define('PASSWORD', '…').
_WORDS = ("pass", "pwd", "secret", "token", "key", "credential", "bearer", "basic")  # one of them is in what follows
_NAME = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|credentials?|bearer"
    r"|(?:api|app|access|account|auth|client|private|encryption|signing)[-_]?key)[\w-]{0,12}"
)
_TYPE = r"[ \t]*(?::[ \t]*|[ \t])[\w&'.:<>?\[\]*|]{1,30}(?: [\w&'.:<>?\[\]*|]{1,30}){0,2}"
_LITERAL = r"(?:\[\]byte\()?[A-Za-z@$]{0,2}\\?['\"`]([^'\"`\s]{12,})['\"`]"
_ASSIGNED = re.compile(
    rf"{_NAME}(?:[?!]|\\?['\"`]?\]?|\[\w*\])(?:(?:{_TYPE})?\s*(?::=|=>|[:=])|(?<=['\"])\s*,|[ \t])\s*{_LITERAL}"
    rf"|(?:\.|->|::|\b(?:set|with|use)[-_]?(?:[A-Za-z]\w{{0,15}})?){_NAME}\(\s*{_LITERAL}",
    re.IGNORECASE,
)
# Without quotes only as in a shell: nothing else on the line, and no white space around the sign.
_EXPORTED = re.compile(
    rf"^[-+ \t]*(?:export[ \t]+\w*?{_NAME}|(?=\w*?{_NAME}=)(?-i:[A-Z][A-Z0-9_]*))="
    r"([A-Za-z0-9][\w+/-]{15,}={0,2})\s*$"
    r"|aws_secret_access_key[ \t]*=[ \t]*([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+])",
    re.IGNORECASE | re.MULTILINE,
)
_IN_HEADER = re.compile(r"\b(?:bearer|basic|token) +([\w.~+/=-]{20,})", re.IGNORECASE)
_IN_CONNECTION = re.compile(r";(?:password|pwd)=([^;'\"\s]{8,})", re.IGNORECASE)  # between a host and a data base
_DJANGO_KEY = re.compile(
    r"django-insecure-[^'\"\s]{4,}|SECRET_KEY['\"]?\]?\s*[:=]\s*['\"][a-z0-9!@#$%^&*(\-_=+)]{40,}['\"]"
)
# No secret: a pattern to fill in, an address, a constant's name, what stands for a key in an example.
_NO_SECRET = re.compile(
    r"[$%{}()<>]|://|\.{3}|\*{3}|(?i:x{4}|your[-_]|example|placeholder|change[-_]?me)|^[A-Z0-9]+_[A-Z0-9_]*$"
)
# The domain in small letters, or in any where it ends like one: Kotlin's this@Stream.notifyAll is no address, and
# git@ is how every host of repositories is addressed by SSH.
_ADDRESS = re.compile(
    r"(?<=[\w.+-])(?<!\bthis)(?<!\bsuper)(?<![^\w.]git)@(?!(?i:(?:[\w-]+\.)*example\.|(?:users\.)?noreply\b))"
    r"(?:(?:[a-z0-9-]+\.)+[a-z]{2,}\b"
    r"|(?:[A-Za-z0-9-]+\.)+(?:(?i:com|org|net|edu|gov|info|dev)|[a-z]{2}|[A-Z]{2})\b(?![(\[]))"
)
_CONFLICT = re.compile(r"^[-+ ]?(?:<{7}|>{7}|\|{7}) ", re.MULTILINE)  # in a line of a diff, too


def text_fault(text: str) -> str | None:
    """Why a task with this text is left out, or None."""
    if has_secret(text):
        return "secret"
    if "@" in text and _ADDRESS.search(text):
        return "address of a person"
    return "conflict marker" if _CONFLICT.search(text) else None


def has_secret(text: str) -> bool:
    """Whether a key, a token or a password stands in ``text``."""
    runs = _RUN.findall(text)
    if any(_TOKEN.search(run) or any(map(_is_random, _WORD.findall(run))) for run in runs):
        return True
    if "://" in text and _PASSWORD_IN_ADDRESS.search(text):
        return True
    if "PRIVATE KEY" in text and _PRIVATE_KEY.search(text):
        return True
    if sum(len(run) >= _KEY_LINE_LENGTH for run in runs) >= _KEY_LINES and _has_key_body(text):
        return True
    lowered = text.lower()
    return any(word in lowered for word in _WORDS) and _names_a_secret(text)


def _is_random(word: str) -> bool:
    if word.islower() or word.isupper() or len(_DIGITS.findall(word)) < _NUMBERS:
        return False
    return len(_CHANGE.findall(word)) * _CHARACTERS_PER_CHANGE >= len(word)


def _has_key_body(text: str) -> bool:
    lines = 0  # one after the other
    for line in text.split("\n"):
        lines = lines + 1 if _is_key_line(line) else 0
        if lines == _KEY_LINES:
            return True
    return False


def _is_key_line(line: str) -> bool:
    body = line.replace("\\n", "").replace("\\r", "").strip(_AROUND_KEY_LINE)
    if _KEY_LINE.fullmatch(body) is None:
        return False
    # hexadecimal digests have letters of one case, long names and paths seldom a digit
    return not body.islower() and not body.isupper() and any(map(str.isdigit, body))


def _names_a_secret(text: str) -> bool:
    if _DJANGO_KEY.search(text):
        return True
    for pattern in (_ASSIGNED, _EXPORTED, _IN_HEADER, _IN_CONNECTION):
        for match in pattern.finditer(text):
            value = match[match.lastindex or 0]
            if any(map(str.isdigit, value)) and any(map(str.isalpha, value)) and not _NO_SECRET.search(value):
                return True
    return False
