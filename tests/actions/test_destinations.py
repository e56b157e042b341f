"""Destinations that policy and a tool may read differently, and those that everybody reads alike."""

from __future__ import annotations

import time

import pytest
from ada_url import URL
from hypothesis import given
from hypothesis import strategies as st

from placet.actions.destinations import destination_error
from placet.kernel.limits import DESTINATION_BYTES_MAX


@pytest.mark.parametrize(
    "destination",
    [
        "",
        "acme.example",
        "docs.acme.example:443",
        "support.mail",
        "Support.Mail",
        "feature/x",
        "a..b",
        "https://acme.example",
        "https://acme.example/",
        "https://acme.example:8443/a/b?q=../1#../f",
        "https://xn--cme-5cd.example/",
        "https://acme.example/%C3%BC%20x",
        "http://127.0.0.1/",
        "http://[::1]/",
        "ssh://git@github.com/x.git",
        "git@github.com:org/repo.git",
        "arn:aws:sqs:eu-west-1:123:Queue",
        "s3://Bucket/key",
        "postgres://db:5432/app",
        "DOMAIN\\queue",
        "\u4e2d\u6587/\u961f\u5217",
        "file:///srv/x",
    ],
)
def test_what_everybody_reads_alike(destination: str) -> None:
    assert destination_error(destination) == ""


@pytest.mark.parametrize(
    ("destination", "what"),
    [
        ("feature/../main", "segment .."),
        ("feature/./main", "segment ."),
        ("..", "segment .."),
        ("\\\\srv\\share\\..\\x", "segment .."),
        ("queue/..;x", "segment ..;x"),
        ("a/%2e%2e/b", "%2e"),
        ("a%2Fb", "%2F"),
        ("a%5cb", "%5c"),
        ("a%252e", "%25"),
        ("%61dmin", "%61"),
        ("a%00b", "%00"),
        ("100%", "holds %"),
        ("//evil.test/x", "empty segment"),
        ("a//b", "empty segment"),
        ("evil.test.", "ends in a dot"),
        ("\uff41cme.example", "in which it is acme.example"),
        ("acme\u3002example", "ideographic full stop"),
        ("\u0430cme.example", "mixes alphabets"),
        ("acme\u3164.example", "invisible character"),
        ("https://acme.example/a/../b", "in which it is https://acme.example/b"),
        ("https://acme.example/a/%2e%2E/b", "in which it is https://acme.example/b"),
        ("https://acme.example/a%2f..%2fb", "%2f"),
        ("https://acme.example/a%5c..", "%5c"),
        ("https://acme.example/a%252fb", "%25"),
        ("https://acme.example/%61dmin", "%61"),
        ("https://acme.example/..;/admin", "segment ..;"),
        ("https://acme.example//admin", "empty segment"),
        ("https://ACME.example/", "in which it is https://acme.example/"),
        ("HTTPS://acme.example/", "in which it is https://acme.example/"),
        ("https://acme.example:443/", "in which it is https://acme.example/"),
        ("https://acme.example./", "ends in a dot"),
        ("https://\u0430cme.example/", "xn--"),
        ("https://acme\u3002example/", "in which it is https://acme.example/"),
        ("https://acme.example\\@evil.test/", "normal form"),
        ("https://acme.example@evil.test/", "user or password"),
        ("https://:pass@evil.test/", "user or password"),
        ("https:evil.test", "in which it is https://evil.test/"),
        ("hTTps:/evil.test/x", "in which it is https://evil.test/x"),
        ("https:\\\\evil.test\\x", "in which it is https://evil.test/x"),
        ("http://0x7f.1/", "in which it is http://127.0.0.1/"),
        ("http://2130706433/", "in which it is http://127.0.0.1/"),
        ("http://[0:0:0:0:0:0:0:1]/", "in which it is http://[::1]/"),
        ("kafka://b/t/../u", "in which it is kafka://b/u"),
        ("file:///etc/../x", "in which it is file:///x"),
        ("https://", "is no URL"),
        ("https://a b/", "is no URL"),
    ],
)
def test_what_somebody_may_read_differently(destination: str, what: str) -> None:
    assert what in destination_error(destination)


@given(
    st.lists(
        st.sampled_from(
            [
                "https",
                ":",
                "//",
                "/",
                "\\",
                "..",
                ".",
                "%2e",
                "%2f",
                "@",
                "acme.example",
                "A",
                "?",
                "#",
                ";",
                ":443",
                "x",
            ]
        ),
        max_size=10,
    ).map("".join)
)
def test_a_url_that_is_taken_leads_where_it_says(destination: str) -> None:
    if destination_error(destination) or "://" not in destination:
        return
    url = URL(destination)
    assert destination in {url.href, url.href.removesuffix("/")}
    assert not {"..", "."} & set(url.pathname.split("/"))
    if url.protocol == "https:":
        assert destination.startswith(f"https://{url.host}")


@given(st.text(max_size=64))
def test_every_text_has_an_answer(destination: str) -> None:
    assert isinstance(destination_error(destination), str)


@pytest.mark.parametrize("part", ["../", "%2e", "https://", "%", ";", "a/", "\u0430", "\u0301"])
def test_no_destination_is_slow(part: str) -> None:
    text = (part * DESTINATION_BYTES_MAX).encode()[:DESTINATION_BYTES_MAX].decode(errors="ignore")
    started = time.thread_time()
    destination_error(text)
    destination_error("https://acme.example/" + text[:1_000])
    assert time.thread_time() - started < 0.02
