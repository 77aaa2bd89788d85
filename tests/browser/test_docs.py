"""The page of calls shows them all, and makes those that are tried."""

import json
from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

LATER = 150_000
"""Milliseconds that anything may take on a busy machine."""


def test_a_call_is_tried_there(hub: Any, visit: Callable[..., Page]) -> None:
    page = visit(token=None)
    page.goto(f"{hub.url}/docs")
    page.fill("#token", "open-sesame")
    page.click("#login button")
    expect(page.locator("details").first).to_be_visible(timeout=LATER)
    described = hub.get("/openapi.json")
    assert page.locator("details").count() == sum(len(calls) for calls in described["paths"].values())

    title = page.get_by_text("/model/{name}/predict", exact=True)
    call = page.locator("details").filter(has=title).filter(has_text="POST")
    call.locator("summary").click()
    call.locator("[name='path name']").fill("digits")
    held_out = hub.get("/model/digits")["meta"]["held_out"]["pixels"]
    call.locator("[name=text]").fill(json.dumps({"input": held_out}))
    call.get_by_role("button", name="Try it").click()
    expect(call.locator("pre")).to_contain_text('"output": 7', timeout=LATER)
    call.locator("[name=text]").fill('{"input": [1]}')
    call.get_by_role("button", name="Try it").click()
    expect(call.locator("pre")).to_contain_text(
        "One row of this model has shape [64], not [1].", timeout=LATER
    )
