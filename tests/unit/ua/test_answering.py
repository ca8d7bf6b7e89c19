"""The answering machines, called directly by the tests' own user agent."""

import asyncio

import pytest
from ua import UserAgent

from fastsip.ua import answering
from fastsip.ua.answering import AnsweringMachines
from fastsip.ua.message import param, uri_of
from fastsip.ua.sdp import answer_sdp, offer_sdp, read_streams

HOSTS = ["127.0.0.1", "::1"]


class Bench:
    """One answering machine and one caller."""

    def __init__(self, host="127.0.0.1", **times):
        self.machines = AnsweringMachines([(host, 0)], **times)
        self.alice = UserAgent(host, name="alice")

    async def __aenter__(self):
        await self.machines.start()
        await self.alice.__aenter__()
        return self

    async def __aexit__(self, *failure):
        await self.alice.__aexit__(*failure)
        await self.machines.close()

    @property
    def machine(self):
        return self.machines.machines[0]

    @property
    def to(self):
        return self.machines.addresses[0]

    def call(self, **parts):
        return self.alice.invite("sip:echo@example.net", self.to, **parts)

    def ask(self, method, **parts):
        return self.alice.request(method, "sip:echo@example.net", self.to, **parts)


@pytest.mark.parametrize("host", HOSTS)
async def test_a_call_from_invite_to_bye(host):
    async with Bench(host) as bench:
        call = bench.call()
        ringing = await call.expect(180)
        leg = await call.established()
        assert ringing.to_tag and ringing.to_tag == leg.ok.to_tag
        assert leg.ok.get("Content-Type") == "application/sdp"
        bye = leg.bye()
        ok = await leg.expect(200)
        assert ok.get("CSeq") == "2 BYE"
        leg.again(bye)
        await leg.expect(200)
        assert (bench.machine.counts.answered, bench.machine.counts.ended) == (1, 1)
        assert bench.machine.active == 0


@pytest.mark.parametrize("host", HOSTS)
async def test_sound_comes_back(host):
    async with Bench(host) as bench:
        leg = await bench.call().established()
        streams, _ = read_streams(leg.ok.body)
        heard = asyncio.get_running_loop().create_future()

        class Ear(asyncio.DatagramProtocol):
            def datagram_received(self, datagram, source):
                if not heard.done():
                    heard.set_result(datagram)

        ear, _ = await asyncio.get_running_loop().create_datagram_endpoint(Ear, (host, 0))
        packet = bytes([0x80, 0, 0, 1]) + bytes(8) + b"sound"
        ear.sendto(b"no RTP at all", (host, int(streams[0].port)))
        ear.sendto(packet, (host, int(streams[0].port)))
        assert await asyncio.wait_for(heard, 3) == packet
        ear.close()


async def test_record_route_is_echoed_in_order_and_vias_are_stamped():
    routes = ["<sip:b@127.0.0.9;lr>", "<sip:a@127.0.0.8;lr>"]
    async with Bench() as bench:
        call = bench.call(headers=[("Record-Route", route) for route in routes])
        ok = await call.expect(200)
        assert ok.values("Record-Route") == routes
        assert param(ok.via, "rport") == str(bench.alice.port)
        assert param(ok.via, "received") == "127.0.0.1"


async def test_the_200_is_repeated_until_the_ack():
    async with Bench(t1_ms=20, t2_ms=40) as bench:
        call = bench.call()
        first = await call.expect(200)
        repeated = [await call.expect(200) for _ in range(3)]
        assert all(again.to_bytes() == first.to_bytes() for again in repeated)
        call.ack(first)
        call.again()  # the repeated INVITE is absorbed: the machine's last word, once
        await call.expect(200)
        bench.ask("OPTIONS")
        await bench.alice.expect(lambda m: m.cseq_method == "OPTIONS")
        bench.alice.inbox.clear()
        await call.quiet(200, 0.2)
        assert bench.machine.counts.calls == 1


async def test_a_call_that_is_never_acknowledged_ends_with_bye():
    async with Bench(t1_ms=5, t2_ms=20) as bench:
        route = f"<sip:127.0.0.1:{bench.alice.port};lr>"
        call = bench.call(headers=[("Record-Route", route)])
        ok = await call.expect(200)
        bye = await call.expect("BYE")
        assert bye.from_tag == ok.to_tag and bye.to_tag == call.request.from_tag
        assert bye.values("Route") == [route] and bye.uri == bench.alice.uri
        await call.expect("BYE")  # until it is answered
        bench.alice.reply(bye, 200)
        assert bench.machine.counts.unacked == 1 and bench.machine.active == 0


async def test_cancel_while_ringing():
    async with Bench(ring_ms=60_000, t1_ms=20, t2_ms=40) as bench:
        call = bench.call()
        ringing = await call.expect(180)
        call.again()
        assert (await call.expect(180)).to_bytes() == ringing.to_bytes()
        call.cancel()
        ok = await call.expect(200)
        assert ok.cseq_method == "CANCEL" and ok.to_tag == ringing.to_tag
        first = await call.expect(487)
        assert first.to_tag == ringing.to_tag
        await call.expect(487)  # repeated until the ACK
        call.ack(first)
        bench.ask("OPTIONS")
        await bench.alice.expect(lambda m: m.cseq_method == "OPTIONS")
        bench.alice.inbox.clear()
        await call.quiet(487, 0.2)
        assert bench.machine.counts.cancelled == 1 and bench.machine.active == 0


async def test_cancel_after_the_answer_changes_nothing():
    async with Bench() as bench:
        call = bench.call()
        leg = await call.established()
        call.cancel()
        assert (await call.expect(200)).cseq_method == "CANCEL"
        leg.bye()
        assert (await leg.expect(200)).cseq_method == "BYE"
        assert not bench.alice.waiting(487)


async def test_cancel_of_nothing():
    async with Bench() as bench:
        bench.ask("CANCEL")
        await bench.alice.expect(481)


async def test_ringing_takes_its_time():
    async with Bench(ring_ms=50) as bench:
        call = bench.call()
        ringing = await call.expect(180)
        ok = await call.expect(200)
        assert ok.at - ringing.at >= 0.04


async def test_reinvite_refreshes_the_session():
    async with Bench() as bench:
        leg = await bench.call().established()
        invite = leg.send(
            "INVITE",
            headers=[bench.alice.contact, ("Content-Type", "application/sdp")],
            body=offer_sdp(("127.0.0.1", 40_010)) + b"a=sendonly\r\n",
        )
        ok = await leg.expect(200)
        assert ok.cseq == invite.cseq and b"a=recvonly" in ok.body
        assert not bench.alice.waiting(lambda m: m.status == 180 and m.cseq == invite.cseq)
        bench.alice.send(leg.dialog.request("ACK", bench.alice.address, cseq=invite.cseq), bench.to)
        leg.bye()
        assert (await leg.expect(200)).cseq_method == "BYE"
        assert bench.machine.counts.answered == 1


@pytest.mark.parametrize("method", ["INFO", "UPDATE", "OPTIONS"])
async def test_in_dialog_requests(method):
    async with Bench() as bench:
        leg = await bench.call().established()
        sent = leg.send(method)
        ok = await leg.expect(200)
        assert ok.get("CSeq") == sent.get("CSeq")


async def test_a_late_request_of_a_dialog_is_refused():
    async with Bench() as bench:
        leg = await bench.call().established()
        leg.send("INFO", cseq=9)
        await leg.expect(200)
        leg.send("INFO", cseq=8)
        await leg.expect(500)


@pytest.mark.parametrize("method", ["BYE", "INFO", "UPDATE", "INVITE", "OPTIONS"])
async def test_unknown_dialog(method):
    async with Bench() as bench:
        bench.ask(method, to_tag="nobody")
        await bench.alice.expect(481)


async def test_options_and_unknown_methods():
    async with Bench() as bench:
        bench.ask("OPTIONS")
        ok = await bench.alice.expect(200)
        assert "INVITE" in ok.get("Allow") and ok.get("Accept") == "application/sdp"
        bench.ask("SUBSCRIBE")
        assert "INVITE" in (await bench.alice.expect(405)).get("Allow")
        bench.ask("OPTIONS", headers=[("Require", "foo, bar")])
        assert (await bench.alice.expect(420)).get("Unsupported") == "foo, bar"


async def test_the_same_call_on_two_ways_is_merged():
    async with Bench() as bench:
        call = bench.call(from_tag="one", call_id="twice")
        await call.expect(200)
        again = bench.call(from_tag="one", call_id="twice")
        await again.refused(482)
        assert bench.machine.counts.calls == 1


async def test_without_offer_the_machine_offers():
    async with Bench() as bench:
        ok = await bench.call(body=b"").expect(200)
        assert b" RTP/AVP 0 8\r\n" in ok.body


async def test_no_usable_codec_is_488_until_the_ack():
    async with Bench(t1_ms=20, t2_ms=40) as bench:
        call = bench.call(body=b"v=0\r\nm=video 4000 RTP/AVP 99\r\n")
        await call.expect(488)
        await call.refused(488)
        assert bench.machine.active == 0


async def test_old_calls_make_room(monkeypatch):
    monkeypatch.setattr(answering, "DIALOGS", 3)
    async with Bench() as bench:
        legs = [await bench.call().established() for _ in range(5)]
        assert bench.machine.active == 3 and bench.machine.counts.dropped == 2
        legs[0].bye()
        await legs[0].expect(481)
        legs[4].bye()
        await legs[4].expect(200)


async def test_rubbish_is_ignored_and_counted():
    rubbish = [b"\r\n\r\n", b"\0", b"hello", b"INVITE sip:x SIP/2.0\r\n\r\n", bytes(range(256))]
    rubbish.append(b"SIP/2.0 200 OK\r\nVia: \r\nFrom: x\r\nTo: x\r\nCall-ID: x\r\nCSeq: x\r\n\r\n")
    async with Bench() as bench:
        for datagram in rubbish:
            bench.alice.send(datagram, bench.to)
        wild = bench.alice.make("OPTIONS", "sip:x@example.net")
        wild.headers[0] = ("Via", "SIP/2.0/UDP 127.0.0.1:99999;branch=z9hG4bKwild")
        bench.alice.send(wild, bench.to)
        bench.ask("OPTIONS")
        await bench.alice.expect(200)
        assert not bench.alice.inbox
        assert bench.machine.counts.unreadable == 5  # keep-alives are none


async def test_a_taken_port_is_named_and_nothing_stays_open():
    async with UserAgent() as taken:
        machines = AnsweringMachines([("127.0.0.1", 0), taken.address])
        with pytest.raises(OSError, match=f"answering machine at 127.0.0.1:{taken.port}: Address already in use"):
            await machines.start()
        assert machines.machines == []


async def test_machines_move_or_stay_where_they_were():
    """What a reload asks for: all of it, or nothing when an address cannot be had or the block fails."""
    async with UserAgent() as taken, UserAgent() as free:
        place = free.address
        free.close()
        machines = AnsweringMachines([("127.0.0.1", 0)])
        await machines.start()
        first = machines.machines[0]
        for wanted, error in (([place, taken.address], OSError), ([place], KeyError)):
            with pytest.raises(error):
                async with machines.moving_to([("127.0.0.1", 0), *wanted]):
                    assert place in machines.addresses
                    raise KeyError
            assert machines.machines == [first]
        async with machines.moving_to([place]):
            assert machines.machines[0] is first and place in machines.addresses
        assert machines.addresses == [place]
        await machines.close()


@pytest.mark.parametrize(
    ("offer", "codec"),
    [
        (b"m=audio 4000 RTP/AVP 8 0\r\n", b"RTP/AVP 0\r\n"),
        (b"m=audio 4000 RTP/AVP 9 8\r\n", b"RTP/AVP 8\r\n"),
        (b"m=audio 4000 RTP/AVP 101 96\r\na=rtpmap:101 telephone-event/8000\r\na=rtpmap:96 opus/48000/2\r\n",
         b"RTP/AVP 96\r\na=rtpmap:96 opus/48000/2\r\n"),
        (b"m=video 4 RTP/AVP 99\r\nm=audio 4 RTP/AVP 0\r\n",
         b"m=video 0 RTP/AVP 99\r\nm=audio 5000 RTP/AVP 0"),
        (b"a=inactive\r\nm=audio 4000 RTP/AVP 0\r\n", b"a=inactive\r\n"),
    ],
)  # fmt: skip
def test_answers_to_offers(offer, codec):
    answer = answer_sdp(b"v=0\r\n" + offer, ("127.0.0.1", 5000))
    assert codec in answer
    assert answer.count(b"m=") == offer.count(b"m=")


@pytest.mark.parametrize("offer", [b"", b"v=0\r\n", b"m=audio 0 RTP/AVP 0\r\n", b"m=audio 4 RTP/SAVP 0\r\n"])
def test_offers_that_cannot_be_answered(offer):
    assert answer_sdp(offer, ("127.0.0.1", 5000)) == b""


async def test_target_refresh_moves_the_machines_bye():
    async with Bench(t1_ms=5, t2_ms=20) as bench, UserAgent(name="moved") as moved:
        leg = await bench.call().established()
        leg.send("INVITE", headers=[moved.contact])
        ok = await leg.expect(200)
        assert uri_of(ok.get("Contact"))
        assert (await moved.expect("BYE")).uri == moved.uri
