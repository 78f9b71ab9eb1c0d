"""Session tickets towards clients: resumption at every worker and over reloads, their end, and tickets that nobody made."""
import os
import time

import pytest

from tlsrig import *


@pytest.fixture
def upstream(start):
    return start(Upstream, canned())


def resumes(gateway, settings, session) -> bool:
    with SecureClient(gateway.port, using=settings, session=session) as client:
        assert client.chat().status == 200
        return client.tls.session_reused


def first_session(gateway, settings):
    with SecureClient(gateway.port, using=settings) as client:
        assert client.chat().status == 200 and not client.tls.session_reused
        return client.tls.session


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_sessions_resume_at_every_worker_and_over_reloads(start, upstream, authority, version):
    config = secured(upstream.url, authority.tls(), workers=2)
    gateway = start(Gateway, config)
    settings = context(version=version)
    session = first_session(gateway, settings)
    assert session.has_ticket
    # Both workers have their turn by chance: of 16 connections none goes to one of them once in 32768 runs.
    assert all(resumes(gateway, settings, session) for _ in range(16))
    config["server"]["tls"]["min_version"] = version
    gateway.reload(config)
    assert all(resumes(gateway, settings, session) for _ in range(4))
    assert metric(gateway, "openclaw_tls_handshakes_total", version=version, resumed="true") == 20
    assert metric(gateway, "openclaw_tls_handshakes_total", resumed="false") == 1


def test_without_rotation_there_are_no_tickets(start, upstream, authority):
    gateway = start(Gateway, secured(upstream.url, authority.tls(ticket_rotation_seconds=0)))
    for version in ("1.2", "1.3"):
        settings = context(version=version)
        session = first_session(gateway, settings)
        assert not session.has_ticket
        assert not resumes(gateway, settings, session if version == "1.2" else None)


def test_tickets_are_taken_for_two_periods(start, upstream, authority):
    gateway = start(Gateway, secured(upstream.url, authority.tls(ticket_rotation_seconds=1)))
    settings = context(version="1.2")
    began = time.monotonic()
    session = first_session(gateway, settings)
    if resumes(gateway, settings, session):
        wait_for(lambda: not resumes(gateway, settings, session), what="the end of an old ticket")
    assert time.monotonic() - began >= 1
    assert resumes(gateway, settings, first_session(gateway, settings))


def test_a_ticket_of_another_process_or_of_chance_is_a_full_handshake(start, upstream, authority):
    one, other = (start(Gateway, secured(upstream.url, authority.tls())) for _ in range(2))
    for version in ("1.2", "1.3"):
        settings = context(version=version)
        session = first_session(one, settings)
        assert resumes(one, settings, session) and not resumes(other, settings, session)
    # Tickets that nobody made: the name of a key, and what should be under it, at random.
    for length in (1, 15, 16, 31, 32, 48, 200, 4000):
        ticket = extension(35, os.urandom(length))
        assert verdict(one.port, records(hello(extensions=GROUPS + SIGNATURES + ticket)))[0] == "hello", length
