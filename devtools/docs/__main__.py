"""Generator of all documents that come from the code: `python -m devtools.docs`."""

from devtools.docs import commands, configuration, documents, flow, openapi


def main() -> None:
    """Write all documents."""
    documents.write()
    openapi.write()
    for document in (configuration, commands, flow):
        document.FILE.write_text(document.text(), "utf-8")


if __name__ == "__main__":
    main()
