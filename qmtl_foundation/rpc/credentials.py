"""Credentials of gRPC's servers and channels, of a service's certificates."""

from __future__ import annotations

import grpc

from qmtl_foundation.tls import Certificates, Material


def server_credentials(certificates: Certificates | None, *, mutual: bool) -> grpc.ServerCredentials | None:
    """Return credentials of a server, renewed at handshakes; ``mutual``: clients must show a trusted certificate."""
    if certificates is None:
        return None
    shown: list[Material] = []

    def configuration() -> grpc.ServerCertificateConfiguration | None:
        material = certificates.material
        if shown and shown[-1] == material:
            return None  # the one in force goes on
        shown[:] = [material]
        root = material.ca if mutual else None
        return grpc.ssl_server_certificate_configuration([(material.key, material.certificate)], root)

    return grpc.dynamic_ssl_server_credentials(configuration(), configuration, require_client_authentication=mutual)


def channel_credentials(material: Material) -> grpc.ChannelCredentials:
    """Return credentials of a channel between services."""
    return grpc.ssl_channel_credentials(material.ca, material.key, material.certificate)
