"""Local replies of Envoy: problems for programs, pages for people."""

from collections.abc import Sequence
from typing import Any, Final

from deploy.gateway.rules import HSTS, OTHER_PAGE, PAGE_LANGUAGES, PAGES, PROBLEMS

# Services' answers get it from a filter, which the codec's own answers do not pass.
_HSTS: Final = {"header": {"key": HSTS[0], "value": HSTS[1]}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
_PROBLEM_JSON: Final = "application/problem+json"
_PAGE_HEAD: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>e-Cert</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1"></head><body><main>'
)


def problems(*, by_tls: bool = True) -> dict[str, Any]:
    """Return the replies for API clients: problem documents (RFC 9457)."""
    added = {"headers_to_add": [_HSTS]} if by_tls else {}

    def body(slug: str, title: str) -> dict[str, Any]:
        problem = {"type": f"urn:ecert:problem:{slug}", "title": title, "status": "%RESPONSE_CODE%"}
        return {"json_format": problem, "content_type": _PROBLEM_JSON}

    return {
        "mappers": [
            {
                "filter": _if_status("EQ", status),
                "body_format_override": body(slug, title),
                **added,
            }
            for status, (slug, title) in PROBLEMS.items()
        ]
        + [{"filter": _if_status("GE", 100), **added}],
        "body_format": body("gateway", "The gateway could not answer this request"),
    }


def pages() -> dict[str, Any]:
    """Return the replies for people when the portal cannot answer: plain text in all languages."""

    def body(words: Sequence[str]) -> dict[str, Any]:
        lines = zip(PAGE_LANGUAGES, words, strict=True)
        said = "".join(f'<p lang="{language}">{text}</p>' for language, text in lines)
        page = f'{_PAGE_HEAD}<h1>e-Cert</h1>{said}<p><a href="/">Start page / 首頁 / 首页</a></p></main></body></html>'
        return {"text_format_source": {"inline_string": page}, "content_type": "text/html; charset=utf-8"}

    policy = {"key": "content-security-policy", "value": "default-src 'none'; frame-ancestors 'none'"}
    headers = [_HSTS, *({"header": header} for header in (policy, {"key": "cache-control", "value": "no-store"}))]
    busy = dict.fromkeys((408, 429, 502, 503, 504), PAGES[503])
    return {
        "mappers": [
            {
                "filter": _if_status("EQ" if status else "GE", status or 400),
                "body_format_override": body(words),
                "headers_to_add": headers,
            }
            for status, words in {**PAGES, **busy, 0: OTHER_PAGE}.items()
        ]
    }


def _if_status(operation: str, status: int) -> dict[str, Any]:
    value = {"default_value": status, "runtime_key": f"is_{status}"}
    return {"status_code_filter": {"comparison": {"op": operation, "value": value}}}
