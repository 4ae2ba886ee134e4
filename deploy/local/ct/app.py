"""HTTP interface of the logs: RFC 6962, section 4, and for static logs the tiles of static-ct-api."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

import flask

from deploy.local.ct import tree
from deploy.local.ct.log import TILE, LocalLog, Rejected

MAX_BODY_BYTES: Final = 256 * 1024
MAX_ENTRIES: Final = 256


Answer = dict[str, object]
_rfc6962: Final = flask.Blueprint("rfc6962", __name__)
_static: Final = flask.Blueprint("static-ct", __name__)


def create_app(logs: Mapping[str, LocalLog]) -> flask.Flask:
    """Return the WSGI app; each log is below a path with its name."""
    app = flask.Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.extensions["logs"] = logs
    app.register_error_handler(Rejected, lambda error: (flask.jsonify(error_message=str(error), success=False), 400))
    app.add_url_rule("/livez", view_func=lambda: "ok", endpoint="livez")
    app.register_blueprint(_rfc6962)
    app.register_blueprint(_static)
    return app


def _log(name: str, *, static: bool | None = None) -> LocalLog:
    """Return the log of this name, and of this kind if one is given."""
    log: LocalLog | None = flask.current_app.extensions["logs"].get(name)
    if log is None or static not in (None, log.static):
        flask.abort(404)
    return log


@_rfc6962.post("/<name>/ct/v1/<any('add-chain', 'add-pre-chain'):kind>")
def _add(name: str, kind: str) -> Answer:
    return _log(name).add(_chain(flask.request.get_json()), precertificate=kind == "add-pre-chain")


@_rfc6962.get("/<name>/ct/v1/get-roots")
def _get_roots(name: str) -> Answer:
    return {"certificates": [_base64(der) for der in _log(name).root_ders]}


@_rfc6962.get("/<name>/ct/v1/get-sth")
def _get_sth(name: str) -> Answer:
    size, timestamp, root, signature = _log(name, static=False).tree_head()
    return {
        "tree_size": size,
        "timestamp": timestamp,
        "sha256_root_hash": _base64(root),
        "tree_head_signature": _base64(signature),
    }


@_rfc6962.get("/<name>/ct/v1/get-sth-consistency")
def _get_sth_consistency(name: str) -> Answer:
    first, second = _number("first"), _number("second")
    leaves = _log(name, static=False).hashes(second)
    if not first <= second == len(leaves):
        raise Rejected("no such sizes")
    proof = tree.consistency_proof(first, leaves) if first else []
    return {"consistency": [*map(_base64, proof)]}


@_rfc6962.get("/<name>/ct/v1/get-proof-by-hash")
def _get_proof_by_hash(name: str) -> Answer:
    size, wanted = _number("tree_size"), _bytes(flask.request.args.get("hash", ""))
    leaves = _log(name, static=False).hashes(size)
    if len(leaves) != size or wanted not in leaves:
        raise Rejected("no such leaf")
    index = leaves.index(wanted)
    return {"leaf_index": index, "audit_path": [*map(_base64, tree.inclusion_proof(index, leaves))]}


@_rfc6962.get("/<name>/ct/v1/get-entries")
def _get_entries(name: str) -> Answer:
    start, end = _number("start"), _number("end")
    entries = _log(name, static=False).entries(start, min(end + 1, start + MAX_ENTRIES))
    if not entries:
        raise Rejected("no such entries")
    return {"entries": [{"leaf_input": _base64(each.leaf), "extra_data": _base64(each.extra)} for each in entries]}


@_static.get("/<name>/checkpoint")
def _checkpoint(name: str) -> flask.Response:
    note = _log(name, static=True).checkpoint(f"{flask.request.host}/{name}")
    return flask.Response(note, mimetype="text/plain")


@_static.get("/<name>/tile/<kind>/<path:place>")
def _tile(name: str, kind: str, place: str) -> flask.Response:
    log, (index, width) = _log(name, static=True), _place(place)
    content = log.data_tile(index, width) if kind == "data" else log.tile(_parsed(kind), index, width)
    return flask.Response(content or flask.abort(404), mimetype="application/octet-stream")


@_static.get("/<name>/issuer/<fingerprint>")
def _issuer(name: str, fingerprint: str) -> flask.Response:
    content = _log(name, static=True).issuer(fingerprint) or flask.abort(404)
    return flask.Response(content, mimetype="application/pkix-cert")


def _chain(document: Any) -> list[bytes]:
    try:
        return [_bytes(each) for each in document["chain"]]
    except (KeyError, TypeError) as error:
        raise Rejected("no chain") from error


def _place(path: str) -> tuple[int, int]:
    """Return index and width of a tile: "x001/x234/067", or "067.p/5" for a partial one. Raises Rejected."""
    path, partial, width = path.partition(".p/")
    index = 0
    for part in path.split("/"):
        index = index * 1000 + _parsed(part.removeprefix("x"))
    found = _parsed(width) if partial else TILE
    if not 0 < found <= TILE:
        raise Rejected("no such tile")
    return index, found


def _number(name: str) -> int:
    return _parsed(flask.request.args.get(name, ""))


def _parsed(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise Rejected(f"{text!r} is no number")
    return int(text)


def _bytes(text: Any) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise Rejected("not in base64") from error


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
