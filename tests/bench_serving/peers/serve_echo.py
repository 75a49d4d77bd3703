"""`python serve_echo.py PORT`: the least that a server of grpc.aio can do: bytes come back unread."""

import asyncio
import sys

import grpc


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers any method."""

    def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        """Neither parse nor serialize."""
        return grpc.unary_unary_rpc_method_handler(_answer)


async def _answer(request: bytes, _: object) -> bytes:
    return request


async def _serve(port: int) -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Echo(),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
