"""A process with a client before a balancer; does what it reads, one JSON value a line.

Arguments: the table, then name and address of each member. A line is ``["get", times, cookie]``,
``["states"]``, or the name of a method of `ajp.Balancer` with its argument.
"""

import json
import sys
from collections import Counter
from typing import Any

import ajp

SECRET = "interop-secret"


def obey(client: ajp.Client, balancer: ajp.Balancer, words: list[Any]) -> object:
    match words:
        case ["get", url, times, cookie]:
            headers = {"cookie": cookie} if cookie else {}
            answers = [client.get(url, headers=headers) for _ in range(times)]
            assert all(answer.status == 200 for answer in answers)
            return Counter(answer.member for answer in answers)
        case ["states"]:
            return {
                each.name: [each.activation.letters, each.state.label, each.in_flight]
                for each in balancer.members
            }
        case [name, member]:
            return getattr(balancer, name)(member)
    raise ValueError(words)


def main() -> None:
    path, *members = sys.argv[1:]
    addresses = dict(zip(members[::2], members[1::2], strict=True))
    table = ajp.Table.attach(path, writable=True)
    with (
        ajp.Balancer(addresses, name="shop", table=table, recover_time_s=3600) as balancer,
        ajp.Client(balancer, secret=SECRET, timeout=20) as client,
    ):
        for line in sys.stdin:
            print(json.dumps(obey(client, balancer, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
