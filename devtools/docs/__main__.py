"""Reference documents of docs/, written from the code: `python -m devtools.docs`."""

from devtools.docs import commands, configuration, flow, openapi


def main() -> None:
    """Write them."""
    openapi.write()
    for document in (configuration, commands, flow):
        document.FILE.write_text(document.text(), "utf-8")


if __name__ == "__main__":
    main()
