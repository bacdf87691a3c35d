"""`web.fetch` behind TLS: certificates that are not to be trusted, streams that are cut, and ways out."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from samovar.actions.tools import ToolResult
from samovar.tools import pages
from tests.test_pages import Answer, Site, _Handler, leads, site, text

TODAY = datetime.now(UTC)
DAY = timedelta(days=1)


@dataclass
class Authority:
    """Who signs certificates. Mutable: the files that it has written."""

    folder: Path
    name: str = "Samovar's tests"

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)])
        limits = x509.BasicConstraints(ca=True, path_length=0)
        built = self._built(self.subject, self.key, TODAY - DAY, TODAY + DAY)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self.key.public_key())
        signs = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        built = built.add_extension(limits, critical=True).add_extension(identifier, critical=False)
        certificate = built.add_extension(signs, critical=True).sign(self.key, hashes.SHA256())
        self.file = self.folder / "authority.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def _built(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, begin: datetime, end: datetime
    ) -> x509.CertificateBuilder:
        return x509.CertificateBuilder(
            issuer_name=self.subject,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=begin,
            not_valid_after=end,
        )

    def context(
        self, host: str = "127.0.0.1", begin: datetime = TODAY - DAY, end: datetime = TODAY + DAY
    ) -> ssl.SSLContext:
        """Of a server that has a certificate for this host."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a page")])
        name = x509.IPAddress(ip_address(host)) if host[0].isdigit() else x509.DNSName(host)
        built = self._built(subject, key, begin, end)
        built = built.add_extension(x509.SubjectAlternativeName([name]), critical=False)
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        certificate = built.add_extension(signer, critical=False).sign(self.key, hashes.SHA256())
        file = self.folder / "page.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """One that this machine trusts."""
    for name in ("https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    one = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(one.file))
    return one


def fetched(context: ssl.SSLContext, answers: Mapping[str, Answer], *hosts: str) -> tuple[ToolResult, Site]:
    """The page `/` of a site behind TLS."""
    with site(answers) as one:
        one.server.socket = context.wrap_socket(
            one.server.socket, server_side=True, do_handshake_on_connect=False
        )
        return pages.fetch(f"https://{one.host}/", (one.host, *hosts)), one


def test_a_page_behind_a_certificate_of_a_trusted_authority_is_read(authority: Authority) -> None:
    answers = {"/": leads("/next"), "/next": text("grün".encode())}
    assert fetched(authority.context(), answers)[0].text == "grün"


@pytest.mark.parametrize(
    ("host", "begin", "end", "says"),
    [
        ("other.example", TODAY - DAY, TODAY + DAY, "certificate is not valid for '127.0.0.1'"),
        ("127.0.0.2", TODAY - DAY, TODAY + DAY, "certificate is not valid for '127.0.0.1'"),
        ("127.0.0.1", TODAY - 2 * DAY, TODAY - DAY, "certificate has expired"),
        ("127.0.0.1", TODAY + DAY, TODAY + 2 * DAY, "certificate is not yet valid"),
    ],
)
def test_a_certificate_of_another_host_or_time_is_refused_before_anything_is_asked(
    authority: Authority, host: str, begin: datetime, end: datetime, says: str
) -> None:
    result, one = fetched(authority.context(host, begin, end), {"/": text(b"secret")})
    assert result.is_error and one.asked == []
    assert result.text.startswith("The certificate of the page is not to be trusted: ")
    assert says in result.text


def test_a_certificate_of_an_authority_that_nobody_trusts_is_refused(
    authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "Somebody")
    result, one = fetched(other.context(), {"/": text(b"secret")})
    assert "is not to be trusted" in result.text and one.asked == []


def _cut(to: _Handler, head: bytes) -> None:
    to.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" + head)
    to.wfile.flush()
    to.connection.close()  # without the end that TLS has


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (b"Content-Length: 1000\r\n\r\nhalf", "half\n[… the connection ended 996 bytes before the end"),
        (b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "cannot be fetched"),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhalf\r\n", "cannot be fetched"),
    ],
)
def test_a_stream_that_is_cut_is_not_taken_for_a_whole_page(
    authority: Authority, head: bytes, says: str
) -> None:
    result, _ = fetched(authority.context(), {"/": lambda to: _cut(to, head)})
    assert says in result.text


@pytest.mark.parametrize(
    "to", ["http://{host}/", "//{host}@other.example/", "file:///etc/passwd", "ftp://{host}/"]
)
def test_no_page_leads_out_of_tls_or_to_another_scheme(authority: Authority, to: str) -> None:
    def answer(handler: _Handler) -> None:
        leads(to.replace("{host}", handler.headers["Host"]))(handler)

    result, one = fetched(authority.context(), {"/": answer})
    assert result.is_error and one.asked == ["/"]


def test_what_speaks_no_tls_is_a_failure(authority: Authority) -> None:
    with site({"/": text(b"plain")}) as one:
        result = pages.fetch(f"https://{one.host}/", (one.host,))
    assert result.is_error and "cannot be fetched" in result.text
