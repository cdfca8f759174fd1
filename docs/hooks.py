"""Hooks of mkdocs: the changes of pages while the site is built."""

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from tools.error_index import index

OUTSIDE = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?!how_to/|api/)[^)]*\)")


def on_files(files: Files, config: MkDocsConfig, **_: object) -> Files:
    """Add the page that lists the errors of the sources as they are now."""
    files.append(File.generated(config, "error_index.md", content=index()))
    return files


def on_page_markdown(markdown: str, page: object, **_: object) -> str:
    """Name the files of the project that a page links to, since the site holds the pages alone."""
    inside = page.file.src_uri.count("/")  # type: ignore[attr-defined]

    def plain(match: re.Match[str]) -> str:
        ups = match.group(0).count("../")
        return match.group(1) if ups > inside else match.group(0)

    return OUTSIDE.sub(plain, markdown)
