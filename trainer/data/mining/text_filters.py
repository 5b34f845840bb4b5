"""Texts that must not be learnt: secrets, people's addresses, the leftovers of a merge."""

from __future__ import annotations

import re

# Keys and tokens in the forms that their issuers document. All are long runs of these characters, so only such runs
# are tried, which is what makes the filter cheap. A false alarm costs a task, a miss publishes a key.
_RUN = re.compile(r"[\w.+/=:-]{16,}")
_TOKEN = re.compile(
    r"\b(?:AKIA|ASIA|AROA|AIDA)[A-Z0-9]{16}\b"  # AWS
    r"|\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_\w{22,}|\bglpat-[\w-]{20}"
    r"|\bxox[abeoprs]-[\w-]{10,}|hooks\.slack\.com/services/\w+/"
    r"|\bAIza[\w-]{35}|\bya29\.[\w-]{20,}|\b\d+-\w{32}\.apps\.googleusercontent\.com"
    r"|\b[srp]k_(?:live|test)_[A-Za-z0-9]{16,}|\bwhsec_\w{20,}"  # Stripe
    r"|\bsk-(?:ant-|proj-|or-)?[\w-]{20,}|\bhf_[A-Za-z0-9]{30,}|\bgsk_[A-Za-z0-9]{30,}|\br8_[A-Za-z0-9]{30,}"
    r"|\bnpm_[A-Za-z0-9]{36}|\bpypi-AgEI[\w-]{20,}|\bdckr_pat_[\w-]{20,}|\bdop_v1_[a-f0-9]{64}"
    r"|\bSG\.[\w-]{16,}\.[\w-]{16,}|\bSK[a-f0-9]{32}\b|\bAC[a-f0-9]{32}\b|\bkey-[a-f0-9]{32}\b"  # mail and telephony
    r"|\b\d{8,10}:AA[\w-]{33}\b|\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b"  # Telegram, Shopify
    r"|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{5,}"  # a JSON web token
    r"|\bAccountKey=[A-Za-z0-9+/]{40,}"  # Azure
)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY")
_PASSWORD_IN_ADDRESS = re.compile(r"(?<=\w)://[^\s/:@'\"<>{}$%]+:[^\s/:@'\"<>{}$%]+@")
# A literal with a digit and a letter, given to a name that says what it holds.
_NAMES = ("pass", "secret", "token", "key", "credential", "bearer")
_ASSIGNED = re.compile(
    r"(?:pass(?:word|wd|phrase)|secret|token|credentials?|bearer|(?:api|access|auth|private|encryption|signing)[-_]?key)"
    r"[\w-]{0,12}['\"]?\]?\s*(?::=|=>|[:=])\s*['\"](?=[^'\"\s]*\d)(?=[^'\"\s]*[a-z])[^'\"\s$%{}()<>]{12,}['\"]",
    re.IGNORECASE,
)
_ADDRESS = re.compile(r"(?<=[\w.+-])@(?!(?:[\w-]+\.)*example\.|(?:users\.)?noreply\b)(?:[a-z0-9-]+\.)+[a-z]{2,}\b")
_CONFLICT = re.compile(r"^(?:<{7}|>{7}|\|{7}) ", re.MULTILINE)


def text_fault(text: str) -> str | None:
    """Why a task with this text is left out, or None."""
    if has_secret(text):
        return "secret"
    if "@" in text and _ADDRESS.search(text):
        return "address of a person"
    return "conflict marker" if _CONFLICT.search(text) else None


def has_secret(text: str) -> bool:
    """Whether a key, a token or a password stands in ``text``."""
    if any(_TOKEN.search(run) for run in _RUN.findall(text)):
        return True
    if "://" in text and _PASSWORD_IN_ADDRESS.search(text):
        return True
    if "PRIVATE KEY" in text and _PRIVATE_KEY.search(text):
        return True
    lowered = text.lower()
    return any(name in lowered for name in _NAMES) and _ASSIGNED.search(text) is not None
