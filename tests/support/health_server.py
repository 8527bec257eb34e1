"""A small real process that serves ``grpc.health.v1`` where QMTL_LISTEN says, in the place of a service.

``--exit-code N`` makes it end at once with a line in its log, ``--not-serving`` stay but never become healthy.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

DRAIN_SECONDS = 1.0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--exit-code", type=int)
    parser.add_argument("--not-serving", action="store_true")
    options = parser.parse_args()
    if options.exit_code is not None:
        sys.stderr.write("the stand-in was told to fail\n")
        return int(options.exit_code)
    serve(options.not_serving)
    return 0


def serve(not_serving: bool) -> None:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    servicer = health.HealthServicer()
    if not_serving:
        servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    server.add_insecure_port(os.environ["QMTL_LISTEN"])
    server.start()
    told = sorted(name for name in os.environ if name.startswith("QMTL_"))
    sys.stderr.write(f"serving on {os.environ['QMTL_LISTEN']}, told {' '.join(told)}\n")
    ended.wait()
    server.stop(DRAIN_SECONDS).wait()


if __name__ == "__main__":
    sys.exit(main())
