#!/usr/bin/env python3
"""A preprocessor of mdBook: links that lead out of docs, which are right in the repository, become
plain text in the book, which has no such pages."""

import json
import os
import re
import sys

LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")


def within(text, page):
    def rewrite(link):
        label, target = link.groups()
        path = target.split("#")[0]
        place = os.path.normpath(os.path.join(os.path.dirname(page), path))
        leads_out = place == ".." or place.startswith("../")
        return label if leads_out and not re.match(r"[a-z]+:", target) else link[0]

    return LINK.sub(rewrite, text)


def walk(items):
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter:
            if chapter.get("path"):
                chapter["content"] = within(chapter["content"], chapter["path"])
            walk(chapter["sub_items"])


if sys.argv[1:2] == ["supports"]:
    sys.exit(0)
_, book = json.load(sys.stdin)
walk(book.get("sections", book.get("items", [])))
json.dump(book, sys.stdout)
