"""Who looks at messages asks here, and the router that routes hears of it; the next one has to be asked anew."""

import ipaddress

from fastsip.api.socket import Refused
from fastsip.process import messages
from fastsip.supervisor.state import State

ANSWER_LIMIT_S = 10.0   # a reload of a large configuration may be before it
LONGEST_LOOK_S = 30     # without another word of who looks
LONGEST_NAME = 64
LONGEST_CALL_ID = 512   # of the core: longer ones are refused


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


async def look(here: State, name: str, looked: messages.Looked, seconds: float) -> None:
    """It is shown from now on, or Refused."""
    if here.router is None:
        raise Refused("a router is just starting; ask again")
    order = messages.Show(name=name, looked=looked, seconds=seconds)
    try:
        said = await here.router.order(order, messages.Shown, limit_s=ANSWER_LIMIT_S)
    except TimeoutError:
        raise Refused("the router does not answer") from None
    if not isinstance(said, messages.Shown):
        raise Refused(f"the router shows nothing: {said.why}" if isinstance(said, messages.Failed)
                      else "the router ended meanwhile; ask again")
    if said.why:
        raise Refused(f"nothing is shown: {said.why}")
