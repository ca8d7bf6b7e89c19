"""A set with `answering = true` needs nobody else: the router's own machines take the calls."""

from ua import UserAgent

from .edge import NUMBER, edge_config, sip_uri


async def test_the_set_answers_itself(router, free_port):
    edge = ("127.0.0.1", free_port())
    machines = [("127.0.0.1", free_port()) for _ in range(2)]
    async with UserAgent(name="alice") as alice:
        router(edge_config(edge, machines, algorithm="round-robin", set_keys="answering = true"))
        answered_by = set()
        for _ in range(4):
            call = alice.invite(NUMBER, edge)
            assert (await call.expect(180)).to_tag
            leg = await call.established()
            assert leg.ok.get("Content-Type") == "application/sdp" and b"m=audio" in leg.ok.body
            answered_by.add(leg.dialog.target)
            leg.bye()
            assert (await leg.expect(200)).cseq_method == "BYE"
        assert len(answered_by) == 2
        assert all(sip_uri(machine).removeprefix("sip:") in " ".join(answered_by) for machine in machines)
