"""Two containers behind a balancer: sessions stay where they are, until their container is gone.

Needs nothing but `ajp`: the containers are of its own making. With Tomcats, give their addresses
and the jvmRoute of each as its name.
"""

import asyncio
from contextlib import AsyncExitStack

import ajp


def container(route: str) -> ajp.Handler:
    """An application with sessions, as a Tomcat with this jvmRoute would have it."""

    async def handle(request: ajp.ContainerRequest) -> None:
        cookie = request.header("cookie")
        headers = []
        if cookie is None or not cookie.endswith(f".{route}".encode()):
            headers.append(("Set-Cookie", f"JSESSIONID=42.{route};HttpOnly"))
        await request.respond(200, headers, f"hello from {route}")

    return handle


async def main() -> None:
    """Ask, break, and ask again."""
    async with AsyncExitStack() as stack:
        servers = {
            name: await stack.enter_async_context(ajp.serve(container(name), port=0))
            for name in ("nodeA", "nodeB")
        }
        addresses = {name: f"127.0.0.1:{server.port}" for name, server in servers.items()}
        balancer = ajp.Balancer(addresses, method="Busyness", recover_time_s=10)
        async with ajp.AsyncClient(balancer, timeout=5) as client:
            first = await client.get("/app/")
            cookie = first.headers["set-cookie"].partition(";")[0]
            print(f"{first.text}, and it gave us {cookie}")
            for _ in range(3):
                again = await client.get("/app/", headers={"cookie": cookie})
                print(f"with the cookie: {again.text}")

            assert first.member is not None
            await servers[first.member].close()
            print(f"{first.member} is closed")
            moved = await client.get("/app/", headers={"cookie": cookie})
            print(f"with the cookie: {moved.text}, new session {moved.headers['set-cookie']}")
            for member in balancer.members:
                print(f"{member.name}: {member.activation.letters} {member.state.label}")


asyncio.run(main())
