"""The monitor page shows what the calls say, and does what its buttons say."""

import json
from collections.abc import Callable
from typing import Any

import kombu
import pytest
from playwright.sync_api import Page, expect

from mlhub.common import topology

Visit = Callable[..., Page]
WaitUntil = Callable[[Callable[[], bool], str], None]
DIGIT = [
    0,
    0,
    2,
    13,
    16,
    9,
    0,
    0,
    0,
    0,
    12,
    12,
    7,
    16,
    3,
    0,
    0,
    1,
    14,
    3,
    0,
    16,
    4,
    0,
    0,
    0,
    0,
    4,
    10,
    16,
    6,
    0,
]
DIGIT += [
    0,
    0,
    0,
    13,
    16,
    16,
    9,
    0,
    0,
    0,
    0,
    5,
    13,
    1,
    0,
    0,
    0,
    0,
    0,
    11,
    9,
    0,
    0,
    0,
    0,
    0,
    1,
    16,
    4,
    0,
    0,
    0,
]
LATER = 150_000
"""Milliseconds that the page may take to show something."""


def cells(page: Page, table: str, column: str) -> list[str]:
    return page.locator(f"#{table} td[data-label='{column}']").all_inner_texts()


def predict(hub: Any) -> None:
    assert hub.call("POST", "/model/digits/predict", json={"input": DIGIT}).ok


def test_it_asks_for_the_token_and_keeps_it_in_the_tab(hub: Any, visit: Visit) -> None:
    page = visit(token=None)
    expect(page.locator("#login")).to_be_visible(timeout=LATER)
    assert page.locator("#tiles dd").count() == 0
    page.fill("#token", "wrong")
    page.keyboard.press("Enter")
    expect(page.locator("#login-error")).to_have_text("The token is not the hub's.", timeout=LATER)
    page.fill("#token", "open-sesame")
    page.keyboard.press("Enter")
    expect(page.locator("#health")).to_have_text("all well", timeout=LATER)
    page.reload()
    expect(page.locator("#health")).to_have_text("all well", timeout=LATER)
    expect(page.locator("#login")).to_be_hidden(timeout=LATER)
    assert page.evaluate("localStorage.length") == 0


def test_a_call_is_tried_on_the_page_of_calls(hub: Any, visit: Visit) -> None:
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


def test_it_shows_what_the_calls_say(hub: Any, visit: Visit, wait_until: WaitUntil) -> None:
    predict(hub)
    page = visit()
    assert cells(page, "queues", "Queue") == [queue["name"] for queue in hub.get("/queues")]
    wait_until(
        lambda: cells(page, "workers", "Worker") == [worker["name"] for worker in hub.get("/workers")],
        "the workers",
    )
    backend = page.locator(".backend[data-backend=sklearn]")
    expect(backend.locator(".pill")).to_have_text("well", timeout=LATER)

    def shown() -> dict[str, str]:
        kinds = ("predict", "jobs", "servers")
        return {kind: backend.locator(f"[data-pool={kind}] [data-actual]").inner_text() for kind in kinds}

    def pools() -> dict[str, str]:
        found = hub.get("/backends/sklearn")["pools"]
        return {kind: str(pool["actual"]) for kind, pool in found.items()}

    wait_until(lambda: shown() == pools(), "the sizes of the pools")

    def done() -> list[str]:
        return [f"{worker['processed']:,}" for worker in hub.get("/workers")]

    wait_until(lambda: cells(page, "workers", "Done") == done(), "what they did")
    # A point of the history comes every ten seconds.
    expect(page.locator("#throughput path.line").first).to_be_attached(timeout=LATER)
    predict(hub)
    expect(page.locator("#latency .dot, #latency .line").first).to_be_attached(timeout=LATER)


def test_a_worker_added_there_takes_work_and_is_removed_again(
    hub: Any, visit: Visit, wait_until: WaitUntil
) -> None:
    page = visit()
    pool = page.locator(".backend[data-backend=sklearn] [data-pool=predict]")
    more = pool.get_by_role("button", name="One process more of predict, sklearn")
    # As those do it who have no pointer.
    more.focus()
    page.keyboard.press("Enter")
    expect(pool.locator("[data-actual='2']")).to_be_visible(timeout=LATER)

    def predicting() -> dict[str, int]:
        return {item["name"]: item["processed"] for item in hub.get("/workers") if item["kind"] == "predict"}

    wait_until(lambda: len(predicting()) == 2, "the second worker")

    def both_work() -> bool:
        predict(hub)
        return len(predicting()) == 2 and all(predicting().values())

    wait_until(both_work, "work for both")
    pool.get_by_role("button", name="One process less of predict, sklearn").click()
    expect(pool.locator("[data-actual='1']")).to_be_visible(timeout=LATER)
    wait_until(lambda: len(predicting()) == 1, "one worker")
    predict(hub)


def test_dead_letters_are_looked_into_retried_and_emptied_after_a_question(
    hub: Any, visit: Visit, wait_until: WaitUntil
) -> None:
    def are_back() -> None:
        # Whoever looks has them in hand, and a moment passes before the broker has them back.
        wait_until(lambda: bool(hub.get("/queues/mlhub.dead")["ready"] == 2), "both letters are in the queue")

    page = visit()
    expect(page.locator("#dead")).to_contain_text("None", timeout=LATER)
    with kombu.Connection(hub.broker_url) as connection:
        producer = kombu.Producer(connection.default_channel, exchange=topology.DEAD.exchange)
        for _ in range(2):
            producer.publish(b"unreadable")
    tile = page.locator("[data-tile='Dead letters'] dd")
    expect(tile).to_have_text("2messages", timeout=LATER)
    are_back()
    page.get_by_role("button", name="Look inside").click()
    expect(page.locator("#dead tbody tr")).to_have_count(2, timeout=LATER)
    are_back()
    listed = hub.get("/queues/mlhub.dead/messages")
    assert cells(page, "dead", "Reason") == [letter["reason"].replace("_", " ") for letter in listed]
    are_back()
    page.get_by_role("button", name="Retry all").click()
    # They came from nowhere, so there is nowhere to go.
    expect(page.locator("#said")).to_contain_text("0 messages went back", timeout=LATER)
    are_back()
    page.get_by_role("button", name="Empty", exact=True).click()
    page.get_by_role("button", name="Leave it").click()
    page.get_by_role("button", name="Empty", exact=True).click()
    page.get_by_role("button", name="Empty it").click()
    expect(tile).to_have_text("0messages", timeout=LATER)
    assert hub.get("/queues/mlhub.dead")["ready"] == 0


def test_it_fits_a_phone(visit: Visit) -> None:
    page = visit(viewport={"width": 390, "height": 844}, device_scale_factor=2, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is None or box["height"] >= 30


def test_it_is_dark_in_the_dark(visit: Visit) -> None:
    shades = {}
    for scheme in ("light", "dark"):
        page = visit(color_scheme=scheme)
        colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
        shades[scheme] = sum(int(part) for part in colour[4:-1].split(","))
    assert shades["dark"] < 150
    assert shades["light"] > 600


def test_everything_has_a_name_for_those_who_do_not_see_it(visit: Visit) -> None:
    page = visit()
    for element in page.locator("button, a, input, svg[role=img]").all():
        named = element.evaluate(
            "e => (e.getAttribute('aria-label') || e.textContent || e.labels?.[0]?.textContent || '').trim()"
        )
        assert named, element.evaluate("e => e.outerHTML")
    assert page.locator("h1").count() == 1
    for section in page.locator("main section").all():
        label = section.get_attribute("aria-labelledby")
        assert page.locator(f"#{label}").inner_text()


@pytest.mark.parametrize("path", ["/monitor", "/pages/monitor.js", "/pages/monitor.css", "/pages/mark.svg"])
def test_pages_allow_nothing_but_the_hubs_own_files(hub: Any, path: str) -> None:
    answer = hub.call("GET", path, headers={"Authorization": ""})
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert hub.call("GET", path, headers={"If-None-Match": answer.headers["ETag"]}).status_code == 304


def test_only_pages_are_open_to_all(hub: Any) -> None:
    for path in ("/monitor/events", "/queues", "/workers", "/backends", "/metrics"):
        assert hub.call("GET", path, headers={"Authorization": ""}).status_code == 401
    for path in ("/pages/none.js", "/pages/..%2fapp.py", "/pages/monitor.py"):
        assert hub.call("GET", path).status_code == 404
