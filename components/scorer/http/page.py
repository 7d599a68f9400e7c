"""The page to try the scorer: one document, nothing from elsewhere, and a policy that lets nothing else run."""

import base64
import hashlib
import re
from pathlib import Path

PAGE = Path(__file__).with_name("page.html").read_bytes()


def _hash_of(tag: str) -> str:
    """The hash by which a policy allows the text of a tag, the only one of its kind on the page."""
    (text,) = re.findall(rb"<%b>(.*?)</%b>" % (tag.encode(), tag.encode()), PAGE, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(text).digest()).decode()}'"


HEADERS = (
    (
        "content-security-policy",
        f"default-src 'none'; style-src {_hash_of('style')}; script-src {_hash_of('script')}; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-cache"),
)
