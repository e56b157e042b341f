"""Permit keys over gRPC, rotated while the server runs."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from placet.kernel.limits import PERMIT_KEYS_LOOK_SECONDS
from placet.sdk import ControlClient
from placet.signing.permit_keys import load_permit_keys, rotate_permit_key

if TYPE_CHECKING:
    from tests.serving import Server


def test_a_running_server_publishes_its_keys_and_the_next_one(placet_server: Server) -> None:
    folder = placet_server.data_dir / "keys/permits"
    with ControlClient(placet_server.address, timeout=30) as control:

        def published() -> list[str]:
            return [each["kid"] for each in json.loads(control.permit_keys())["keys"]]

        assert published() == [key.public.key_id for key in load_permit_keys(folder)]
        made = rotate_permit_key(folder, int(time.time()), after_seconds=3_600)
        deadline = time.monotonic() + 6 * PERMIT_KEYS_LOOK_SECONDS
        while made.key_id not in published():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert published()[-1] == made.key_id
