"""The page on which people approve: which templates are taken, and the URLs that they give."""

from __future__ import annotations

import re

import pytest

from placet.approvals.page import NO_APPROVAL_URL, ApprovalUrlTemplate


@pytest.mark.parametrize(
    ("template", "url"),
    [
        ("https://a.example/{approval_id}", "https://a.example/apr_1"),
        ("http://localhost:8080/?id={approval_id}&of={tenant}", "http://localhost:8080/?id=apr_1&of=acme"),
        ("https://a.example/{tenant}/{tenant}#{approval_id}", "https://a.example/acme/acme#apr_1"),
        ("https://a.example/100%25/{approval_id}", "https://a.example/100%25/apr_1"),
    ],
)
def test_urls(template: str, url: str) -> None:
    assert ApprovalUrlTemplate.parse(template).url("acme", "apr_1") == url


def test_values_are_encoded_and_never_read_as_a_template() -> None:
    page = ApprovalUrlTemplate.parse("https://a.example/{tenant}/{approval_id}")
    assert page.url("{approval_id}", "a/../b?c#d é") == (
        "https://a.example/%7Bapproval_id%7D/a%2F..%2Fb%3Fc%23d%20%C3%A9"
    )


def test_without_a_page_or_a_request_there_is_no_url() -> None:
    assert ApprovalUrlTemplate.parse("") == NO_APPROVAL_URL
    assert NO_APPROVAL_URL.url("acme", "apr_1") == ""
    assert ApprovalUrlTemplate.parse("https://a.example/{approval_id}").url("acme", "") == ""


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("a.example/{approval_id}", "must be an http or https URL such as https://host/path/{approval_id}"),
        ("javascript:alert({approval_id})", "must be an http or https URL"),
        ("ftp://a.example/{approval_id}", "must be an http or https URL"),
        ("https:///{approval_id}", "must be an http or https URL"),
        ("https://a.example:0/{approval_id}", "must be an http or https URL"),
        ("https://a.example:x/{approval_id}", "must be a URL such as"),
        ("https://u:p@a.example/{approval_id}", "must name no user or password"),
        ("https://{tenant}.a.example/{approval_id}", "must name its host without"),
        ("https://a.example/", "must contain {approval_id}"),
        ("https://a.example/{tenant}", "must contain {approval_id}"),
        ("https://a.example/{approval_id}/{user}", "can contain {approval_id} and {tenant} and no other braces"),
        ("https://a.example/{approval_id}}", "no other braces"),
        ("https://a.example/{approval_id} x", "must be plain ASCII"),
        ("https://a.example/é{approval_id}", "must be plain ASCII"),
        ("https://a.example/\n{approval_id}", "must be plain ASCII"),
        ("https://a.example/{approval_id}" + "x" * 2_048, "must have at most 2048 characters"),
    ],
)
def test_templates_that_are_refused(template: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        ApprovalUrlTemplate.parse(template)
