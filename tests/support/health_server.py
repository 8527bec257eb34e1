"""A small real process that serves ``grpc.health.v1`` where QMTL_LISTEN says, in the place of a service.

``--exit-code N`` makes it end at once with a line in its log.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2_grpc

DRAIN_SECONDS = 1.0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--exit-code", type=int)
    options = parser.parse_args()
    if options.exit_code is not None:
        sys.stderr.write("the stand-in was told to fail\n")
        return int(options.exit_code)
    serve()
    return 0


def serve() -> None:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    server.add_insecure_port(os.environ["QMTL_LISTEN"])
    server.start()
    told = sorted(name for name in os.environ if name.startswith("QMTL_"))
    sys.stderr.write(f"serving on {os.environ['QMTL_LISTEN']}, told {' '.join(told)}\n")
    ended.wait()
    server.stop(DRAIN_SECONDS).wait()


if __name__ == "__main__":
    sys.exit(main())
